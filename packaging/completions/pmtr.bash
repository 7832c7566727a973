# Completion of pmtr for bash.

_pmtr() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local options='-c --config -F --foreground -I --echo -t --test --strict -v --verbose
    -p --pidfile --log-socket --state-dir -h --help -V --version --limits'
  compopt -o filenames 2>/dev/null
  case $previous in
    -c | --config | -[FIvt]*c | -p | --pidfile | --log-socket)
      mapfile -t COMPREPLY < <(compgen -f -- "$current")
      ;;
    --state-dir) mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *)
      compopt +o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
      ;;
  esac
}

complete -F _pmtr pmtr
