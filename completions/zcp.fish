# fish completion for zcp(1). Installed in fish/vendor_completions.d, or loaded by:
#     zcp completion fish | source

# The words before the cursor that are operands: neither options nor their values.
# The first of them is the command.
function __zcp_operands
    set -l words (commandline -opc)
    set -l skip 1 # the program's name
    set -l ended 0
    for word in $words
        if test $skip -eq 1
            set skip 0
        else if test $ended -eq 0; and test "$word" = --
            set ended 1
        else if test $ended -eq 0; and string match -qr -- '^--(buffer-size|rate-limit|interval|size|output|wait|retry-for|idle|linger|half-close|max-conns|allow|deny|drain|exit-idle|rate-total|stats|bind|congestion|name|delay|skip|dscp|socket-mode|to|drop-slow)$' "$word"
            set skip 1
        else if test $ended -eq 0; and string match -qr -- '^-[^-BDLiosmw]*[BDLiosmw]$' "$word"
            set skip 1
        else if test $ended -eq 1; or not string match -qr -- '^-.' "$word"
            echo -- $word
        end
    end
end

# __zcp_command NAME...: one of these commands was typed.
function __zcp_command
    set -l operands (__zcp_operands)
    set -q operands[1]; and contains -- $operands[1] $argv
end

# __zcp_place COMMAND N...: the cursor is at the Nth operand of the command, or past
# the last N.
function __zcp_place
    set -l operands (__zcp_operands)
    set -q operands[1]; and test $operands[1] = $argv[1]; or return 1
    contains -- (count $operands) $argv[2..-1]; and return 0
    test $argv[-1] = +; and test (count $operands) -ge $argv[-2]
end

# The names of /etc/hosts and of ssh's known_hosts. __fish_print_hostnames also has the aliases of ssh's
# config, which only ssh can look up.
function __zcp_hosts
    if test -r /etc/hosts
        string replace -r '#.*' '' </etc/hosts | string replace -r '^\s*\S+' '' | string match -ar '\S+'
    end
    for file in /etc/ssh/ssh_known_hosts ~/.ssh/known_hosts
        test -r $file; or continue
        # Hashed names, marks and patterns are left out, and the port of [host]:port.
        string match -rv '^\s*([@#|]|$)' <$file | string replace -r '\s.*' '' | string split -n , | string match -rv '[*?!]' | string replace -r '^\[(.*)\]:\d+$' '$1'
    end
end

function __zcp_net
    set -l token (commandline -ct)
    if string match -q 'unix:*' -- $token
        __fish_complete_path (string replace unix: '' -- $token) 'Unix socket' | string replace -r '^' unix:
        return
    end
    string match -qr '^[^\[]*:|\]:' -- $token; and return
    # zcp wants an IPv6 address in brackets, and known_hosts has it without.
    __zcp_hosts | string replace -r '^(.*:.*)$' '[$1]' | string replace -r '$' ':\tHost'
    printf '%s\n' localhost:\t'This host' unix:\t'Unix socket' fd:\t'Inherited descriptor' sd:\t'Socket from systemd'
end

function __zcp_listen
    __zcp_net | string match -r '^unix:.*|^fd:.*|^sd:.*|^localhost:.*'
    printf '%s\n' :\t'Listen on every address' -\t'Standard input and output'
end

function __zcp_size
    set -l token (commandline -ct | string replace -r -- '^(-[^-]*s|--size=)' '')
    if string match -q '@*' -- $token
        __fish_complete_path (string sub -s 2 -- $token) 'Size of a file' | string replace -r '^' @
    else
        printf '%s\n' 100M 1G @\t'Size of a file'
    end
end

function __zcp_stats
    set -l token (commandline -ct | string replace -- --stats= '')
    if string match -q 'unix:*' -- $token
        __fish_complete_path (string sub -s 6 -- $token) 'Unix socket' | string replace -r '^' unix:
    else
        printf '%s\n' :9100\t'On this host' unix:\t'Unix socket'
    end
end

complete -c zcp -f
complete -c zcp -n 'not __zcp_operands | string length -q' -a send -d 'Send files or stdin to the network'
complete -c zcp -n 'not __zcp_operands | string length -q' -a recv -d 'Receive from the network to a file or stdout'
complete -c zcp -n 'not __zcp_operands | string length -q' -a cat -d 'Copy files or stdin to stdout and show progress'
complete -c zcp -n 'not __zcp_operands | string length -q' -a relay -d 'Forward both directions between two network ends'
complete -c zcp -n 'not __zcp_operands | string length -q' -a probe -d 'See whether a port takes connections'
complete -c zcp -n 'not __zcp_operands | string length -q' -a completion -d 'Print the completion file for a shell'
complete -c zcp -n 'not __zcp_operands | string length -q' -a help -d 'Print help for a command'
complete -c zcp -s h -l help -d 'Print help'
complete -c zcp -n 'not __zcp_operands | string length -q' -s V -l version -d 'Print version, commit, date and Go version'

# Operands
# After the first file of send comes another file or the network end; a word with a colon
# is taken as the network end.
complete -c zcp -n '__zcp_place send 1; or __zcp_place recv 2; or __zcp_place cat 1 +' -F
complete -c zcp -n '__zcp_place send 2 +; and not string match -q "*:*" -- (commandline -ct)' -F
complete -c zcp -n '__zcp_place send 2 +; or __zcp_place recv 1; or __zcp_place relay 2 +; or __zcp_place probe 1' -a '(__zcp_net)'
complete -c zcp -n '__zcp_place relay 1' -a '(__zcp_listen)'
complete -c zcp -n '__zcp_place completion 1' -a 'bash zsh fish'
complete -c zcp -n '__zcp_place help 1' -a 'send recv cat relay probe completion'

# Every command
set -l cmds 'send recv cat relay'
set -l all 'send recv cat relay probe'
complete -c zcp -n "__zcp_command $all" -s q -l quiet -d 'Print errors only'
complete -c zcp -n "__zcp_command $all" -s v -l verbose -d 'Print what is happening'
complete -c zcp -n "__zcp_command $cmds" -s C -l no-splice -d 'Read and write through memory'
complete -c zcp -n "__zcp_command $cmds" -s L -l rate-limit -x -a '1M 10M 100M 1G 100Mbit 1Gbit' -d 'Limit the rate'
complete -c zcp -n "__zcp_command $cmds" -s B -l buffer-size -x -a '64K 256K 1M' -d 'Pipe size'
complete -c zcp -n "__zcp_command $all" -l name -x -d 'Name for the line, messages and events'
complete -c zcp -n "__zcp_command $cmds" -l bits -d 'Show rates in bits per second'
complete -c zcp -n "__zcp_command $all" -l log-time -d 'The time before every line of text'
complete -c zcp -n "__zcp_command $all" -l json -d 'Write events as JSON objects'
complete -c zcp -n "__zcp_command $cmds" -l explain -d 'Print which path is planned, and what ran'

# Display
set -l cmds 'send recv cat'
complete -c zcp -n "__zcp_command $cmds" -s f -l force -d 'Show the progress line even without a terminal'
complete -c zcp -n "__zcp_command $cmds" -s n -l numeric -d 'Print one number per update'
complete -c zcp -n "__zcp_command $cmds" -s i -l interval -x -a '100ms 500ms 1 5' -d 'Time between updates'
complete -c zcp -n "__zcp_command $cmds" -s D -l delay -x -a '1s 10s 30s 1m 5m' -d 'No progress line before this long'
complete -c zcp -n "__zcp_command $cmds" -s s -l size -x -a '(__zcp_size)' -d 'Size to expect'
complete -c zcp -n "__zcp_command $cmds" -s S -l stop-at-size -d 'Stop after --size bytes'

# The network
set -l cmds 'send recv relay'
set -l durations '1s 10s 30s 1m 5m 1h'
set -l networks '127.0.0.0/8 ::1 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16'
complete -c zcp -n "__zcp_command $cmds probe" -s 4 -d 'IPv4 only'
complete -c zcp -n "__zcp_command $cmds probe" -s 6 -d 'IPv6 only'
complete -c zcp -n "__zcp_command $cmds probe" -l bind -x -d 'Source address when connecting'
complete -c zcp -n "__zcp_command $cmds probe" -s w -l wait -x -a $durations -d 'Time limit for connecting, or for a connection to arrive'
complete -c zcp -n "__zcp_command $cmds probe" -l retry-for -x -a $durations -d 'Keep trying to connect'
complete -c zcp -n "__zcp_command $cmds" -l idle -x -a $durations -d 'Give up after this long without a byte'
complete -c zcp -n "__zcp_command $cmds" -l allow -x -a $networks -d 'Accept only these networks'
complete -c zcp -n "__zcp_command $cmds" -l deny -x -a $networks -d 'Reset these networks'
complete -c zcp -n "__zcp_command $cmds" -s m -l max-conns -x -a '1 10 100 1000' -d 'Maximum number of connections'
complete -c zcp -n "__zcp_command $cmds" -l dscp -x -a 'cs1 le af11 ef' -d 'Traffic class of the connections'
complete -c zcp -n "__zcp_command $cmds" -l socket-mode -x -a '0600 0660 0666' -d 'Mode of a Unix socket that is made'
complete -c zcp -n '__zcp_command send cat' -l skip -x -a '1M 100M 1G' -d 'Begin this far into the source'
complete -c zcp -n '__zcp_command send recv' -s l -l listen -d 'Listen instead of connecting'
complete -c zcp -n '__zcp_command send recv' -s k -l keep-open -d 'Serve every client, or write one file for each'
complete -c zcp -n '__zcp_command send recv' -s N -d 'For compatibility with nc, without effect'
complete -c zcp -n '__zcp_command send relay' -l congestion -x -a 'cubic reno bbr' -d 'Congestion control of the connections'
complete -c zcp -n '__zcp_command send recv' -l to -x -a '(__zcp_net)' -d 'Send or pass on to this network end too'
complete -c zcp -n '__zcp_command send' -l drop-slow -x -a $durations -d 'Reset a receiver that alone held up the others'
complete -c zcp -n '__zcp_command send' -l linger -x -a $durations -d 'How long to wait for the peer to close'

# Files
complete -c zcp -n '__zcp_command recv cat' -s a -l append -d 'Append to the file'
complete -c zcp -n '__zcp_command recv cat' -l no-clobber -d 'Refuse to overwrite'
complete -c zcp -n '__zcp_command recv cat' -l sync -d 'fsync before reporting success'
complete -c zcp -n '__zcp_command send recv cat' -l hash -x -a 'sha256 blake3' -d 'Print the digest of the bytes'
complete -c zcp -n '__zcp_command send recv' -l verify -d 'At both ends: make sure that what is stored is what was sent'
complete -c zcp -n '__zcp_command send recv' -l resume -d 'Go on where an earlier attempt ended'
complete -c zcp -n '__zcp_command recv cat' -l expect -x -d 'The digest the bytes must have'
complete -c zcp -n '__zcp_command cat' -s o -l output -r -F -d 'Write to FILE'

# Trees
complete -c zcp -n '__zcp_command send cat' -l tar -d 'Sources as one tar stream'
complete -c zcp -n '__zcp_command send cat' -l exclude -x -d 'Leave out these names'
complete -c zcp -n '__zcp_command send cat' -s x -l one-file-system -d 'Leave out other file systems'
complete -c zcp -n '__zcp_command send recv cat' -l special -d 'FIFOs and devices too'
complete -c zcp -n '__zcp_command recv cat' -l no-same-owner -d 'Do not give unpacked files their owners'
complete -c zcp -n '__zcp_command send recv cat' -l xattrs -d 'Extended attributes and ACLs too'

# The relay
complete -c zcp -n '__zcp_command relay' -l half-close -x -a $durations -d 'How long a half-closed connection may stay silent'
complete -c zcp -n '__zcp_command relay' -l drain -x -a $durations -d 'How long connections may go on after SIGTERM'
complete -c zcp -n '__zcp_command relay' -l exit-idle -x -a $durations -d 'Exit after this long without a connection'
complete -c zcp -n '__zcp_command relay' -l rate-total -x -a '1M 10M 100M 1G 100Mbit 1Gbit' -d 'Limit the rate of all connections together'
complete -c zcp -n '__zcp_command relay' -l send-proxy -x -a 'v1 v2' -d 'Send targets a PROXY header'
complete -c zcp -n '__zcp_command relay' -l accept-proxy -x -a $networks -d 'Peers that must say a PROXY header'
complete -c zcp -n '__zcp_command relay' -l grace -x -a $durations -d 'How long to go on accepting after SIGTERM'
complete -c zcp -n '__zcp_command relay' -l takeover -x -a '(__zcp_listen)' -d 'Take the listeners of the relay that serves this socket'
complete -c zcp -n '__zcp_command relay' -l as-client -d 'Connect from the address of the client'
complete -c zcp -n '__zcp_command relay' -l spread -d 'Let several targets take turns'
complete -c zcp -n '__zcp_command relay' -l stats -x -a '(__zcp_stats)' -d 'Serve totals and connections as JSON and for Prometheus'
