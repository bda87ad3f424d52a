package runlooptest

// shellScript, given a file and a command, runs the command as one of a named
// shell: with the directory, variables, functions, aliases and options that the
// command before it has left in the file. It is bash's. Each command is a process
// of its own, so that its output and its end are its own, and killing it leaves
// the shell as it was before.
const shellScript = `__rl_state=$1 __rl_text=$2
shift 2
__rl_save() {
  case $- in *e*) __rl_options='set -e' ;; *) __rl_options='set +e' ;; esac # a substitution has it off
  __rl_options=$(set +o; echo "$__rl_options")
  set +euxvn
  __rl_ifs=$(declare -p IFS 2>/dev/null || echo unset -v IFS)
  local IFS=$' \t\n'
  mkdir -p -m 0777 "${__rl_state%/*}"
  {
    printf 'cd -- %q\n' "$PWD"
    echo 'for __rl_v in $(compgen -e); do [ "$__rl_v" = PWD ] || unset -v "$__rl_v"; done'
    for __rl_v in $(compgen -v); do
      case $__rl_v in
        __rl_* | IFS | BASH* | EUID | UID | PPID | SHELLOPTS | SHLVL | FUNCNAME | GROUPS | DIRSTACK | PIPESTATUS) ;;
        _ | PWD | LINENO | RANDOM | SRANDOM | SECONDS | EPOCH* | HISTCMD | COMP_*) ;;
        *) declare -p "$__rl_v" ;;
      esac
    done
    printf '%s\n' "$__rl_ifs"
    declare -f
    alias -p
    umask -p
    shopt -p
    printf '%s\n' "$__rl_options"
  } > "$__rl_state.new" && mv -f -- "$__rl_state.new" "$__rl_state"
} 2>/dev/null
trap '__rl_code=$?; __rl_save; exit $__rl_code' EXIT
if [ -f "$__rl_state" ]; then . "$__rl_state" 2>/dev/null; fi
eval "$__rl_text"
__rl_code=$?
__rl_save
trap - EXIT
exit $__rl_code`
