#compdef pmtr
# Completion of pmtr for zsh.

_arguments -s \
  '(-c --config)'{-c,--config}'[configuration file]:file:_files' \
  '(-F --foreground)'{-F,--foreground}'[stay in the foreground]' \
  '(-I --echo)'{-I,--echo}'[echo the log to stderr]' \
  '(-t --test)'{-t,--test}'[check the configuration and exit]' \
  '--strict[with -t: exit with 1 on warnings, too]' \
  '*'{-v,--verbose}'[log more]' \
  '(-p --pidfile)'{-p,--pidfile}'[write the process id there]:file:_files' \
  '--log-socket[send the log there]:socket:_files' \
  '--state-dir[remember there which jobs run]:directory:_files -/' \
  '(- *)'{-h,--help}'[show the help and exit]' \
  '(- *)'{-V,--version}'[show the version and exit]' \
  '(- *)--limits[show all limits and exit]'
