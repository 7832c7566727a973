# Completion of pmtr for fish.

complete -c pmtr -f
complete -c pmtr -s c -l config -r -F -d 'Configuration file'
complete -c pmtr -s F -l foreground -d 'Stay in the foreground'
complete -c pmtr -s I -l echo -d 'Echo the log to stderr'
complete -c pmtr -s t -l test -d 'Check the configuration and exit'
complete -c pmtr -l strict -d 'With -t: exit with 1 on warnings, too'
complete -c pmtr -s v -l verbose -d 'Log more'
complete -c pmtr -s p -l pidfile -r -F -d 'Write the process id there'
complete -c pmtr -l log-socket -r -F -d 'Send the log there'
complete -c pmtr -l state-dir -x -a '(__fish_complete_directories)' -d 'Remember there which jobs run'
complete -c pmtr -s h -l help -d 'Show the help and exit'
complete -c pmtr -s V -l version -d 'Show the version and exit'
complete -c pmtr -l limits -d 'Show all limits and exit'
