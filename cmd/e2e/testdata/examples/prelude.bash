# What an example begins with, in its room $ROOM. Nothing here waits by a process: the start of one
# costs more than most examples do.
set -e -o pipefail
mount -t proc proc /proc # of this namespace of processes

# pause waits a little: nothing ever writes to that FIFO.
pause() {
    read -rt 0.02 <>"$ROOM/never" || true
}
# there_is PATTERN: whether a file matches.
there_is() {
    compgen -G "$1" >/dev/null
}
# listens PORT: waits until a port listens (state 0A in proc_net_tcp.rst), at most 20 seconds.
listens() {
    local line tcp tcp6
    printf -v line ':%04X ' "$1"
    for _ in {1..1000}; do
        read -rd '' tcp </proc/net/tcp || true # there is no NUL: all of it
        read -rd '' tcp6 </proc/net/tcp6 || true
        if [[ $tcp$tcp6 =~ ${line}0+:0000\ 0A\  ]]; then return; fi
        pause
    done
    echo "nothing listens on $1" && return 1
}
# echoes HOST:PORT or PATH: a server that answers each client with what it gets.
echoes() {
    case $1 in
        /*) mkdir -p "${1%/*}" && socat "UNIX-LISTEN:$1,fork" EXEC:cat & ;;
        *.sock) socat "UNIX-LISTEN:$1,fork" EXEC:cat & ;;
        *) socat "TCP-LISTEN:${1##*:},bind=${1%:*},fork,reuseaddr" EXEC:cat & ;;
    esac
    case $1 in
        *:*) listens "${1##*:}" ;;
        *) until [[ -S $1 ]]; do pause; done ;;
    esac
}
