# bash completion for zcp(1)                              -*- shell-script -*-
#
# Installed as bash-completion/completions/zcp, or loaded by
#     eval "$(zcp completion bash)"
# It runs only bash's own builtins: the words typed so far are never evaluated,
# and the program is not started.

# _zcp_value WORD: succeeds if the word after WORD is its value, and sets option
# to its name: a long option without "=", or the last letter of a cluster.
_zcp_value() {
    local word=$1 i
    case $word in
        --buffer-size | --rate-limit | --interval | --size | --output | --wait | --retry-for | --idle | \
            --linger | --exclude | --half-close | --max-conns | --allow | --deny | --drain | --exit-idle | \
            --rate-total | --stats | --takeover | --grace | --send-proxy | --accept-proxy | --bind | --congestion | --name | --delay | --skip | --dscp | --socket-mode | --to | --drop-slow) option=$word && return 0 ;;
        -- | --* | [^-]* | - | '') return 1 ;;
    esac
    for ((i = 1; i < ${#word}; i++)); do
        # The first letter that takes a value ends the cluster.
        if [[ BDLiosmw == *"${word:i:1}"* ]]; then
            option=-${word:i:1}
            return $((i + 1 < ${#word}))
        fi
    done
    return 1
}

# _zcp_flags COMMAND: the options of a command; a long one that takes a value ends
# in "=".
_zcp_flags() {
    local all='-h --help -q --quiet -v --verbose -C --no-splice -L --rate-limit= -B --buffer-size= --json --explain --name= --bits --log-time'
    local shown='-f --force -n --numeric -i --interval= -D --delay= -s --size= -S --stop-at-size --hash='
    local net='-4 -6 --bind= -w --wait= --retry-for= --idle= --allow= --deny= -m --max-conns= --dscp= --socket-mode='
    local ends='-l --listen -k --keep-open -N --verify --resume'
    local file='-a --append --no-clobber --sync --expect='
    local tree='--tar --exclude= -x --one-file-system'
    local unpack='--no-same-owner'
    case $1 in
        '') echo '-h --help -V --version' ;;
        send) echo "$all $shown $net $ends $tree --special --xattrs --linger= --congestion= --to= --drop-slow= --skip=" ;;
        recv) echo "$all $shown $net $ends $file $unpack --special --xattrs --to=" ;;
        cat) echo "$all $shown $file $tree --special --xattrs $unpack -o --output= --skip=" ;;
        probe) echo '-h --help -q --quiet -v --verbose --json --name= --log-time -4 -6 --bind= -w --wait= --retry-for=' ;;
        relay) echo "$all $net --half-close= --drain= --exit-idle= --rate-total= --stats= --spread --takeover= --as-client --grace= --send-proxy= --accept-proxy= --congestion=" ;;
        *) echo '-h --help' ;;
    esac
}

# _zcp_words WORD...: offer these; no space after one that needs more.
_zcp_words() {
    local word
    while read -r word; do COMPREPLY+=("$word"); done < <(compgen -W "$*" -- "$cur")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:=@/] ]] && compopt -o nospace
    __ltrim_colon_completions "$cur"
}

# _zcp_files PREFIX: offer files after a prefix.
_zcp_files() {
    local word
    compopt -o filenames
    while read -r word; do COMPREPLY+=("$1$word"); done < <(compgen -f -- "${cur#"$1"}")
}

# _zcp_hosts: offer the hosts of ssh's known_hosts and of /etc/hosts, each with a colon.
_zcp_hosts() {
    # It puts the colon behind all that COMPREPLY holds, files too.
    local before=("${COMPREPLY[@]}") i
    COMPREPLY=()
    _known_hosts_real -c -- "${cur%%[*}"
    for i in "${!COMPREPLY[@]}"; do
        # zcp wants an IPv6 address in brackets, and known_hosts has it without.
        [[ ${COMPREPLY[i]} == *:*: ]] && COMPREPLY[i]="[${COMPREPLY[i]%:}]:"
        [[ ${COMPREPLY[i]} == "$cur"* ]] || unset "COMPREPLY[i]"
    done
    COMPREPLY=("${before[@]}" "${COMPREPLY[@]}")
}

# _zcp_net listen|connect: offer network ends.
_zcp_net() {
    case $cur in
        unix:*)
            _zcp_files unix:
            __ltrim_colon_completions "$cur"
            return
            ;;
        '['*']:'*) return ;; # a port: nothing to offer
        '['*) ;;
        *:*) return ;;
    esac
    if [[ $1 == connect ]]; then
        _zcp_hosts
        _zcp_words localhost: unix: fd: sd:
    else
        _zcp_words localhost: unix: fd: sd: :9000 -
    fi
    # Hosts end in a colon; the port comes next, without a space.
    compopt -o nospace
}

# _zcp_operand COMMAND N: offer what operand N of the command can be, from 0.
_zcp_operand() {
    case $1:$2 in
        send:0 | cat:* | recv:1) _filedir ;;
        send:*)
            # The last operand is the network; the ones before it are files.
            [[ $cur == *:* ]] || _filedir
            _zcp_net connect
            ;;
        recv:0 | relay:*[13579] | probe:0) _zcp_net connect ;;
        relay:*) _zcp_net listen ;;
        completion:0) _zcp_words bash zsh fish ;;
        help:0) _zcp_words send recv cat relay probe completion ;;
    esac
}

_zcp() {
    local cur prev words cword split
    if ! declare -F _init_completion >/dev/null; then
        # Without the bash-completion package: commands and files.
        cur=${COMP_WORDS[COMP_CWORD]}
        local word args=(-W 'send recv cat relay probe completion help')
        ((COMP_CWORD == 1)) || args=(-f)
        while read -r word; do COMPREPLY+=("$word"); done < <(compgen "${args[@]}" -- "$cur")
        return
    fi
    _init_completion -s -n : || return

    local i cmd='' operands=0 ended='' option=''
    for ((i = 1; i < cword; i++)); do
        if [[ -z $ended && ${words[i]} == -- ]]; then
            ended=1
        elif [[ -z $ended && ${words[i]} == -?* ]]; then
            _zcp_value "${words[i]}" && ((i++))
        elif [[ -z $cmd ]]; then
            cmd=${words[i]}
        else
            ((operands++))
        fi
    done

    if [[ -z $ended ]] && _zcp_value "$prev"; then
        case $option in
            --output | -o) _filedir ;;
            --rate-limit | --rate-total | -L) _zcp_words 1M 10M 100M 1G 100Mbit 1Gbit ;;
            --buffer-size | -B) _zcp_words 64K 256K 1M ;;
            --size | -s)
                case $cur in
                    @*) _zcp_files @ ;;
                    '~@'*) _zcp_files '~@' ;;
                    *) _zcp_words 100M 1G @ '~' ;;
                esac
                ;;
            --interval | -i) _zcp_words 100ms 500ms 1 5 ;;
            --max-conns | -m) _zcp_words 1 10 100 1000 ;;
            --allow | --deny | --accept-proxy) _zcp_words 127.0.0.0/8 ::1 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 ;;
            --skip) _zcp_words 1M 100M 1G ;;
            --dscp) _zcp_words cs1 le af11 ef ;;
            --socket-mode) _zcp_words 0600 0660 0666 ;;
            --exclude | --name) ;; # a pattern, a word: nothing to offer
            --takeover) case $cur in unix:*) _zcp_net listen ;; *) _zcp_words unix: ;; esac ;;
            --stats) case $cur in unix:*) _zcp_net listen ;; *) _zcp_words :9100 unix: ;; esac ;;
            --to) _zcp_net ;;
            --send-proxy) _zcp_words v1 v2 ;;
            --congestion) _zcp_words cubic reno bbr ;;
            --bind)
                _ip_addresses -a
                __ltrim_colon_completions "$cur"
                ;;
            *) _zcp_words 1s 10s 30s 1m 5m 1h ;;
        esac
        return
    fi
    $split && return

    if [[ -z $ended && $cur == -?* || -z $ended && -z $cmd && $cur == - ]]; then
        _zcp_words "$(_zcp_flags "$cmd")"
    elif [[ -z $cmd ]]; then
        _zcp_words send recv cat relay probe completion help
    elif [[ -z $ended && $cur == - ]]; then
        _zcp_words "$(_zcp_flags "$cmd")" -
    else
        _zcp_operand "$cmd" "$operands"
    fi
} && complete -F _zcp zcp
