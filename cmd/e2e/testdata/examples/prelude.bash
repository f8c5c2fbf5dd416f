# What an example runs in: namespaces of its own, two folders, hosts that are all this one, and
# the programs beside zcp that may not be installed. $1 is an empty folder, $2 zcp.
set -e -o pipefail
cd "$1"
mkdir bin here there src
mount -t tmpfs run /run
ln -s "$2" bin/zcp
ip link set lo up
cat >hosts <<H
127.0.0.1 localhost host here there inner
127.0.0.6 app
127.0.0.7 db
127.0.0.8 a
127.0.0.2 b
127.0.0.3 c
127.0.0.4 d
127.0.0.5 e
H
mount --bind hosts /etc/hosts

# stub NAME SCRIPT: stands for a program where it runs elsewhere, or is a person.
stub() {
    printf '#!/bin/bash\n%s\n' "$2" >"bin/$1" && chmod +x "bin/$1"
}
# Another host is another folder and address of this one.
stub ssh "h=\$1; shift; mkdir -p '$1/'\$h/photos; cd '$1/'\$h; printf x >f; exec bash -c \"\${*// :9000/ -l \$h:9000}\""
stub dialog 'exec cat >/dev/null'
stub consumer 'exec cat >/dev/null'
for tool in zstd jq curl; do
    command -v $tool >/dev/null || case $tool in
        zstd) stub zstd 'exec gzip "$@"' ;;
        jq) stub jq 'grep -q '\''"event":"end".*"status":0'\' ;;
        curl) stub curl 'exec socat - TCP:localhost:9100 <<<$'\''GET /metrics HTTP/1.0\r\n\r'\' ;;
    esac
done
PATH=$PWD/bin:$PATH

for side in here there; do
    for file in f big.iso disk.img backup.tar log part1 part2; do head -c 300000 /dev/urandom >$side/$file; done
done
rm there/* # there is nothing there yet, but
head -c 150000 here/disk.img >there/disk.img.part
mkdir -p here/dir here/photos there/dir
cp here/f here/dir/1
cp here/f here/photos/1
cp -r here/f here/photos src
# Disks are files.
mkdir dev
head -c 2M /dev/urandom >dev/sda
head -c 2M /dev/urandom >dev/sdb
for node in null zero urandom full tty; do touch dev/$node && mount --bind /dev/$node dev/$node; done
ln -s /proc/self/fd dev/fd
mount --rbind dev /dev

# listens PORT: waits until a port listens.
listens() {
    for _ in {1..400}; do
        if ss -Hltn "sport = :$1" | grep . >/dev/null; then return; fi
        sleep 0.05
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
        *) until [[ -S $1 ]]; do sleep 0.05; done ;;
    esac
}
