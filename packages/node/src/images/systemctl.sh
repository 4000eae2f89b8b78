#!/bin/sh
# systemctl for machines that systemd did not boot: runs init scripts, and simple service units without one.
# Exit codes and words are those of systemd 252. Where systemd runs, its own systemctl takes over.
if [ -d /run/systemd/system ]; then
  for real in /usr/bin/systemctl /bin/systemctl; do
    [ -x "$real" ] && ! [ "$real" -ef "$0" ] && exec "$real" "$@"
  done
fi
set -f
launch=''
STATE=/run/systemctl
LOGS=/var/log/systemctl
UNIT_FOLDERS='/etc/systemd/system /run/systemd/system /usr/local/lib/systemd/system /usr/lib/systemd/system /lib/systemd/system'
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
refuse() { warn "systemctl: $*"; exit 1; }

usage() {
  say 'systemctl [OPTIONS...] COMMAND [SERVICE...]

This machine was not booted by systemd. Services with an init script, and service units of the types simple, exec,
notify, forking and oneshot, can be used with these commands:
  start, stop, restart, try-restart, reload, reload-or-restart, status, is-active, is-failed, is-enabled,
  enable [--now], disable [--now], kill, show, cat, list-units, list-unit-files, daemon-reload, is-system-running
Timers, sockets, mounts, targets and services of users (--user) are not supported.'
}

# Follows aliases such as redis.service -> redis-server.service; sets name, instance, script and unit.
find_service() {
  name=${1%.service}
  case $name in
    *.timer | *.socket | *.mount | *.automount | *.path | *.target | *.slice | *.scope | *.swap | *.device)
      refuse "$name: only services are supported, because this machine was not booted by systemd" ;;
    */* | .* | '') refuse "'$1' is not the name of a service" ;;
  esac
  script='' unit='' instance=''
  for hop in 1 2 3; do
    file=$(unit_file "$name")
    target=$([ -L "$file" ] && readlink "$file")
    case $target in
      /dev/null) return 0 ;;
      *.service) [ "${target##*/}" = "$name.service" ] && break; name=${target##*/}; name=${name%.service} ;;
      *) break ;;
    esac
  done
  unit=$file
  if [ -z "$unit" ]; then
    case $name in *@?*) instance=${name#*@}; unit=$(unit_file "${name%%@*}@") ;; esac
  fi
  # what an administrator has written goes before a script, as with systemd
  case $unit in /etc/systemd/system/*) [ -L "$unit" ] || return 0 ;; esac
  [ -x "/etc/init.d/$name" ] && script=/etc/init.d/$name
  return 0
}
unit_file() {
  for folder in $UNIT_FOLDERS; do
    [ -e "$folder/$1.service" ] || [ -L "$folder/$1.service" ] || continue
    say "$folder/$1.service"
    return 0
  done
}
is_known() { [ -n "$script$unit" ]; }

# Prints each value of a key of the unit, one per line; an empty value clears those before, lines that end in \ go on.
values() {
  [ -n "$unit" ] || return 0
  found='' whole=''
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in *\\) whole="$whole${line%\\} "; continue ;; esac
    line=$whole$line whole=''
    case $line in
      "$1="*) value=${line#*=} ;;
      "$1 ="*) value=${line#*=} value=${value# } ;;
      *) continue ;;
    esac
    if [ -z "$value" ]; then found=''; else found="$found$value
"; fi
  done <"$unit"
  printf '%s' "$found" | sed "s/%[iI]/$instance/g; s/%n/$name.service/g; s/%[pN]/${name%%@*}/g; s/%%/%/g"
}
first() { values "$1" | tail -n 1; }

# Runs one command line of a unit: quotes and variables have their meaning, other characters of the shell none.
run_line() {
  line=$1 ignore='' quote='' words=''
  while :; do
    case $line in -*) ignore=1 line=${line#-} ;; [@:+!]*) line=${line#?} ;; *) break ;; esac
  done
  while [ -n "$line" ]; do
    rest=${line#?} char=${line%"$rest"} line=$rest
    case $quote$char$rest in
      "'\$\$"*) line=${rest#?} ;;
      '$$'* | '"$$'*) char='\$' line=${rest#?} ;;
      '$('* | '"$('*) char='\$' ;;
    esac
    case $quote$char in
      '"' | "'") quote=$char ;;
      '""' | "''") quote='' ;;
      [';&|<>()#`~*?'] | '"`') char="\\$char" ;;
    esac
    words=$words$char
  done
  in_unit "set -f; ${2:-}$words"
  code=$?
  [ -n "$ignore" ] && return 0
  return $code
}
# Runs shell text with the variables, the folder and the user of the unit.
in_unit() {
  text=$1 folder=$(first WorkingDirectory) user=$(first User) group=$(first Group)
  case $folder in '~' | -*) folder=${HOME:-/} ;; esac
  # "NAME=some value" becomes NAME='some value', and NAME=value keeps its characters
  settings=$(values Environment | sed -E "s/\"([A-Za-z_][A-Za-z0-9_]*)=([^\"]*)\"/\\1='\\2'/g; s/'([A-Za-z_][A-Za-z0-9_]*)=([^']*)'/\\1='\\2'/g; s/(^| )([A-Za-z_][A-Za-z0-9_]*)=([^ '\"][^ ]*)/\\1\\2='\\3'/g")
  for file in $(values EnvironmentFile); do
    [ -r "${file#-}" ] && settings="$settings
$(grep -E '^[A-Za-z_][A-Za-z0-9_]*=' "${file#-}" | sed -E "s/^([^=]*)=([^\"'].* .*)\$/\\1='\\2'/")"
  done
  text="cd '${folder:-/}' && set -a && eval \"\$SETTINGS\" && set +a && unset SETTINGS && $text"
  SETTINGS=$settings
  export SETTINGS
  if [ "${user:-root}" = root ]; then $launch sh -c "$text"
  elif command -v setpriv >/dev/null; then
    USER=$user LOGNAME=$user HOME=$(getent passwd "$user" | cut -d: -f6)
    export USER LOGNAME HOME
    $launch setpriv --reuid "$user" --regid "${group:-$(id -g "$user")}" --init-groups sh -c "$text"
  else $launch su -s /bin/sh "$user" -c "$text"
  fi
}
run_lines() {
  values "$1" >"$STATE/$name.lines"
  while IFS= read -r each <&3; do run_line "$each" "${2:-}" || return; done 3<"$STATE/$name.lines"
}

type_of() {
  type=$(first Type)
  case $type in '' | exec | notify | notify-reload | dbus | idle) type=simple ;; esac
  say "$type"
}
is_alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }
main_pid() {
  if [ -n "$script" ]; then
    for file in "/run/$name.pid" "/run/$name/$name.pid" "/run/${name}d.pid"; do
      [ -r "$file" ] && head -n 1 "$file" && return
    done
  elif [ "$(type_of)" = forking ]; then
    file=$(first PIDFile)
    case $file in '') ;; /*) cat "$file" 2>/dev/null ;; *) cat "/run/$file" 2>/dev/null ;; esac
  else cat "$STATE/$name.main" 2>/dev/null
  fi
}
# Prints active, inactive or failed.
state() {
  if [ -n "$script" ]; then
    "$script" status >/dev/null 2>&1 && say active || say inactive
  elif [ -e "$STATE/$name.failed" ]; then say failed
  elif [ -e "$STATE/$name.done" ]; then say active
  elif is_alive "$(main_pid)" || is_alive "$(cat "$STATE/$name.supervisor" 2>/dev/null)"; then say active
  else say inactive
  fi
}

start_unit() {
  [ "$(state)" = active ] && return 0
  mkdir -p "$STATE" "$LOGS"
  rm -f "$STATE/$name.failed" "$STATE/$name.done" "$STATE/$name.stopping"
  for folder in $(values RuntimeDirectory); do
    mkdir -p "/run/$folder"
    user=$(first User) && [ -n "$user" ] && chown "$user" "/run/$folder"
  done
  case $(type_of) in
    simple)
      run_lines ExecStartPre >>"$LOGS/$name.log" 2>&1 || { touch "$STATE/$name.failed"; return 1; }
      rm -f "$STATE/$name.main"
      setsid sh "$0" --supervise "$name" </dev/null >>"$LOGS/$name.log" 2>&1 &
      say $! >"$STATE/$name.supervisor"
      tries=0
      while [ ! -e "$STATE/$name.main" ] && [ $((tries += 1)) -lt 100 ]; do sleep 0.05; done
      sleep 0.1
      [ ! -e "$STATE/$name.failed" ] ;;
    oneshot | forking)
      { run_lines ExecStartPre && run_lines ExecStart; } </dev/null >>"$LOGS/$name.log" 2>&1 ||
        { touch "$STATE/$name.failed"; return 1; }
      case $(first RemainAfterExit) in yes | true | 1 | on) touch "$STATE/$name.done" ;; esac
      [ "$(type_of)" = forking ] && [ -z "$(first PIDFile)" ] && touch "$STATE/$name.done"
      return 0 ;;
    *) refuse "$name.service has Type=$(first Type), which is not supported" ;;
  esac
}
# Runs in the background: starts the program of a service again as its Restart= says.
supervise() {
  restart=$(first Restart) delay=$(first RestartSec)
  case $delay in *ms) delay=0.1 ;; *min) delay=60 ;; *) delay=${delay%s} ;; esac
  starts=0 began=$(date +%s)
  while :; do
    setsid sh "$0" --main "$name" &
    pid=$!
    say $pid >"$STATE/$name.main"
    wait $pid
    code=$?
    [ -e "$STATE/$name.stopping" ] && break
    case $restart in
      always) ;;
      on-failure | on-abnormal | on-abort) [ $code -ne 0 ] || break ;;
      on-success) [ $code -eq 0 ] || break ;;
      *) break ;;
    esac
    # as systemd: at most five starts in ten seconds
    now=$(date +%s)
    [ $((now - began)) -gt 10 ] && starts=0 began=$now
    [ $((starts += 1)) -ge 5 ] && break
    sleep "${delay:-0.1}"
  done
  [ $code -ne 0 ] && [ ! -e "$STATE/$name.stopping" ] && touch "$STATE/$name.failed"
  rm -f "$STATE/$name.main" "$STATE/$name.supervisor" "$STATE/$name.stopping"
  exit $code
}
stop_unit() {
  MAINPID=$(main_pid)
  export MAINPID
  rm -f "$STATE/$name.failed"
  [ "$(state)" = active ] || return 0
  mkdir -p "$STATE" "$LOGS"
  is_alive "$(cat "$STATE/$name.supervisor" 2>/dev/null)" && touch "$STATE/$name.stopping"
  run_lines ExecStop </dev/null >>"$LOGS/$name.log" 2>&1
  end_processes TERM
  tries=0
  while is_alive "$MAINPID" && [ $((tries += 1)) -lt 100 ]; do sleep 0.1; done
  is_alive "$MAINPID" && end_processes KILL
  tries=0
  while [ -e "$STATE/$name.stopping" ] && [ $((tries += 1)) -lt 20 ]; do sleep 0.05; done
  rm -f "$STATE/$name.done" "$STATE/$name.stopping"
}
end_processes() {
  is_alive "$MAINPID" || return 0
  kill "-$1" -- "-$MAINPID" 2>/dev/null || kill "-$1" "$MAINPID" 2>/dev/null
}

start() { if [ -n "$script" ]; then "$script" start </dev/null >/dev/null; else start_unit; fi; }
stop() { if [ -n "$script" ]; then "$script" stop </dev/null >/dev/null; else stop_unit; fi; }
restart() { if [ -n "$script" ]; then "$script" restart </dev/null >/dev/null; else stop_unit && start_unit; fi; }
reload() {
  if [ -n "$script" ]; then "$script" reload </dev/null >/dev/null; return; fi
  [ -n "$(values ExecReload)" ] || { warn "Failed to reload $name.service: Job type reload is not applicable for unit $name.service."; exit 1; }
  MAINPID=$(main_pid)
  export MAINPID
  run_lines ExecReload
}

is_enabled() {
  if [ -n "$script" ]; then
    set +f
    for link in /etc/rc[2345].d/S??"$name"; do [ -e "$link" ] && set -f && return 0; done
    set -f
    return 1
  fi
  [ -e "/etc/systemd/system/multi-user.target.wants/$name.service" ]
}
enable() {
  is_known || { warn "Failed to enable unit: Unit file $name.service does not exist."; return 1; }
  if [ -n "$script" ]; then
    command -v update-rc.d >/dev/null || refuse "there is no update-rc.d here, which enables init scripts"
    update-rc.d "$name" defaults >/dev/null && update-rc.d "$name" enable
  else
    mkdir -p /etc/systemd/system/multi-user.target.wants
    is_enabled && return 0
    ln -s "$unit" "/etc/systemd/system/multi-user.target.wants/$name.service" &&
      warn "Created symlink /etc/systemd/system/multi-user.target.wants/$name.service → $unit."
  fi
}
disable() {
  is_known || { warn "Failed to disable unit: Unit file $name.service does not exist."; return 1; }
  if [ -n "$script" ]; then update-rc.d "$name" disable
  elif is_enabled; then
    rm "/etc/systemd/system/multi-user.target.wants/$name.service"
    warn "Removed /etc/systemd/system/multi-user.target.wants/$name.service."
  fi
}

description() {
  text=$(first Description)
  [ -z "$text" ] && [ -n "$script" ] && text=$(sed -n 's/^# *Short-Description: *//p' "$script" | head -n 1)
  say "${text:-$name}"
}
enabled_word() { is_enabled && say enabled || say disabled; }
status() {
  is_known || { warn "Unit $name.service could not be found."; return 4; }
  now=$(state) pid=$(main_pid) code=3 details='(dead)'
  [ "$now" = active ] && code=0 details='(running)'
  [ "$now" = failed ] && details='(Result: exit-code)'
  say "● $name.service - $(description)"
  say "     Loaded: loaded (${script:-$unit}; $(enabled_word))"
  say "     Active: $now $details"
  [ $code = 0 ] && is_alive "$pid" && say "   Main PID: $pid ($(cat "/proc/$pid/comm" 2>/dev/null))"
  [ -r "$LOGS/$name.log" ] && { say ''; tail -n "${lines:-10}" "$LOGS/$name.log"; }
  return $code
}
sub_state() { case $1 in active) say running ;; failed) say failed ;; *) say dead ;; esac; }
show() {
  now=inactive load=not-found file_state='' pid=0
  is_known && now=$(state) load=loaded file_state=$(enabled_word)
  [ "$now" = active ] && pid=$(main_pid)
  for pair in "Id=$name.service" "Names=$name.service" "LoadState=$load" "ActiveState=$now" \
    "SubState=$(sub_state "$now")" "UnitFileState=$file_state" "MainPID=${pid:-0}" "FragmentPath=${unit:-$script}"; do
    case ",$properties," in
      ,,) say "$pair" ;;
      *",${pair%%=*},"*) if [ -n "$only_values" ]; then say "${pair#*=}"; else say "$pair"; fi ;;
    esac
  done
}

# Prints the names of all services that have a script or can be started from a unit of this machine.
all_names() {
  set +f
  for file in /etc/init.d/*; do [ -x "$file" ] && say "${file##*/}"; done
  for file in /etc/systemd/system/*.service; do [ -e "$file" ] && file=${file##*/} && say "${file%.service}"; done
  set -f
}
list_units() {
  [ -n "$no_legend" ] || printf '  %-30s %-9s %-8s %-8s %s\n' UNIT LOAD ACTIVE SUB DESCRIPTION
  count=0
  for each in $(all_names | grep -v '@$' | sort -u); do
    find_service "$each"
    [ "$name" = "$each" ] && is_known || continue
    now=$(state)
    case "$states,$all" in
      ,) [ "$now" != inactive ] || continue ;;
      ,1) ;;
      *) case ",$states," in *",$now,"* | *",$(sub_state "$now"),"*) ;; *) continue ;; esac ;;
    esac
    printf '  %-30s %-9s %-8s %-8s %s\n' "$name.service" loaded "$now" "$(sub_state "$now")" "$(description)"
    count=$((count + 1))
  done
  [ -n "$no_legend" ] || say "
$count loaded units listed."
}
list_unit_files() {
  [ -n "$no_legend" ] || printf '%-36s %s\n' 'UNIT FILE' STATE
  for each in $(all_names | sort -u); do
    find_service "$each"
    [ "$name" = "$each" ] && is_known && printf '%-36s %s\n' "$name.service" "$(enabled_word)"
  done
}

# Starts what was enabled with this program, before the start command of a template.
boot() {
  for each in $(cat /etc/systemctl.enabled 2>/dev/null); do
    find_service "$each"
    is_known && start || warn "systemctl: $each.service did not start"
  done
  return 0
}
remember() {
  { grep -vxF "$name" /etc/systemctl.enabled 2>/dev/null; [ "$1" = enable ] && say "$name"; } >/etc/systemctl.enabled.new
  mv /etc/systemctl.enabled.new /etc/systemctl.enabled
}

# Does to one service what the verb says, and returns systemd's exit code.
act() {
  verb=$1
  find_service "$2"
  case $verb in
    status) status; return ;;
    show) show; return ;;
    is-active | is-failed)
      is_known || { [ -n "$quiet" ] || say inactive; [ "$verb" = is-active ] && return 4; return 1; }
      now=$(state)
      [ -n "$quiet" ] || say "$now"
      case $verb-$now in is-active-active | is-failed-failed) return 0 ;; is-active-*) return 3 ;; *) return 1 ;; esac ;;
    is-enabled)
      is_known || { warn "Failed to get unit file state for $name.service: No such file or directory"; return 1; }
      [ -n "$quiet" ] || enabled_word
      is_enabled
      return ;;
    cat)
      is_known || { warn "No files found for $name.service."; return 1; }
      say "# ${unit:-$script}"
      cat "${unit:-$script}"
      return ;;
    enable | disable)
      "$verb" || return
      remember "$verb"
      [ -z "$with_now" ] && return 0
      [ "$verb" = enable ] && verb=start || verb=stop ;;
  esac
  if ! is_known; then
    case $verb in stop | kill | reload | try-restart) what=loaded ;; *) what=found ;; esac
    [ "$verb" = try-restart ] && return 0
    warn "Failed to $verb $name.service: Unit $name.service not $what."
    return 5
  fi
  case $verb in
    reload-or-restart | force-reload | try-reload-or-restart)
      if [ -n "$script" ] || [ -n "$(values ExecReload)" ]; then verb=reload; else verb=restart; fi
      [ "$(state)" = active ] || verb=start ;;
    try-restart | condrestart) [ "$(state)" = active ] || return 0; verb=restart ;;
    reload) [ "$(state)" = active ] || { warn "$name.service is not active, cannot reload."; return 1; } ;;
    start) [ "$(state)" = active ] && return 0 ;;
    stop)
      stop
      # scripts fail when nothing runs, systemd does not
      [ "$(state)" != active ]
      return ;;
    kill)
      MAINPID=$(main_pid)
      end_processes "${signal:-TERM}"
      return ;;
  esac
  "$verb" && return 0
  warn "Job for $name.service failed because the control process exited with error code."
  warn "See \"systemctl status $name.service\"${script:+ and the logs below /var/log} for details."
  return 1
}

case ${1-} in
  --supervise) find_service "$2"; supervise ;;
  --main) find_service "$2"; launch=exec; run_line "$(first ExecStart)" 'exec '; exit ;;
esac

command='' services='' quiet='' with_now='' all='' states='' no_legend='' properties='' only_values='' lines='' signal=''
while [ $# -gt 0 ]; do
  case $1 in
    -q | --quiet) quiet=1 ;;
    --now) with_now=1 ;;
    -a | --all) all=1 ;;
    --failed) states=failed ;;
    --state=*) states=${1#*=} ;;
    --no-legend | --legend=false) no_legend=1 ;;
    -p | --property) properties=${properties:+$properties,}${2-}; shift ;;
    -p* | --property=*) value=${1#--property=} properties=${properties:+$properties,}${value#-p} ;;
    --value) only_values=1 ;;
    -n | --lines) lines=${2-}; shift ;;
    --lines=* | -n*) value=${1#--lines=} lines=${value#-n} ;;
    -s | --signal) signal=${2-}; shift ;;
    --signal=*) signal=${1#*=} ;;
    -t | --type | -o | --output | --root | -H | -M) shift ;;
    --user | --global) refuse "services of users (--user) are not supported, because this machine was not booted by systemd" ;;
    --version) say 'systemd 252 (Sandlot: init scripts and simple units only)'; exit 0 ;;
    -h | --help) usage; exit 0 ;;
    --type=* | --output=* | --no-pager | --system | -l | --full | --no-block | -f | --force | --plain | --no-ask-password | --no-reload | --no-wall | --wait | --show-types | -r | --recursive | --job-mode=* | -i) ;;
    -*) refuse "unrecognized option '$1'" ;;
    *) if [ -z "$command" ]; then command=$1; else services="$services $1"; fi ;;
  esac
  shift
done
signal=${signal#SIG}

case $command in
  start | stop | restart | try-restart | condrestart | reload | reload-or-restart | force-reload | try-reload-or-restart | enable | disable | kill | boot)
    if [ "$(id -u)" != 0 ]; then
      if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        exec sudo -n "$0" ${with_now:+--now} ${signal:+--signal=$signal} $command $services
      fi
      for each in $services; do
        warn "Failed to $command ${each%.service}.service: Access denied"
      done
      exit 4
    fi ;;
esac
case $command in
  boot) boot; exit ;;
  '' | list-units) list_units; exit 0 ;;
  list-unit-files) list_unit_files; exit 0 ;;
  daemon-reload | daemon-reexec | reset-failed)
    [ $command = reset-failed ] && for each in $services; do rm -f "$STATE/${each%.service}.failed"; done
    exit 0 ;;
  is-system-running) [ -n "$quiet" ] || say running; exit 0 ;;
  get-default) say multi-user.target; exit 0 ;;
  list-timers | list-sockets | list-jobs)
    refuse "$command: timers, sockets and jobs are not supported, because this machine was not booted by systemd" ;;
  start | stop | restart | try-restart | condrestart | reload | reload-or-restart | force-reload | try-reload-or-restart | status | is-active | is-failed | is-enabled | enable | disable | kill | show | cat) ;;
  *) refuse "the command '$command' is not supported, because this machine was not booted by systemd; 'systemctl --help' lists what is" ;;
esac
if [ -z "$services" ]; then
  [ "$command" = status ] && { list_units; exit 0; }
  [ "$command" = show ] && { say 'SystemState=running'; exit 0; }
  warn 'Too few arguments.'
  exit 1
fi
worst=0
good=''
for each in $services; do
  # a subshell, so that one service leaves no variables to the next
  (act "$command" "$each")
  code=$?
  [ $code -eq 0 ] && good=1
  [ $code -gt $worst ] && worst=$code
done
case $command in is-active | is-enabled | is-failed) [ -n "$good" ] && exit 0 ;; esac
exit $worst
