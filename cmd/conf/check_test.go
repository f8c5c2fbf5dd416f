package conf

import (
	"testing"

	"github.com/zcp-go/zcp/cmd/exit"
)

// TestNonsense lists what makes no sense and what is said about it: one line on
// stderr (and perhaps a hint), nothing on stdout, no command called.
func TestNonsense(t *testing.T) {
	for line, want := range map[string]string{
		"send":                           "send needs SRC... NET\nzcp: for example: zcp send big.iso host:9000",
		"send f":                         "send needs a network end after f\nzcp: for example: zcp send f host:9000, or :9000 to serve it",
		"send h:1":                       "send needs a source before h:1\nzcp: stdin is -: zcp send - h:1",
		"send h:1 f":                     "\"f\": missing port, want HOST:PORT\nzcp: the network end comes last: zcp send SRC... NET",
		"send null: h:1":                 "null: is a destination, not a source",
		"recv":                           "recv needs NET [DST], got nothing\nzcp: for example: zcp recv :9000 big.iso",
		"recv a b c":                     "recv needs NET [DST], got a b c\nzcp: for example: zcp recv :9000 big.iso",
		"recv f :1":                      "\"f\": missing port, want HOST:PORT\nzcp: the network end comes first: zcp recv NET [DST]",
		"recv :1 zero:":                  "zero: is a source, not a destination",
		"cat -o '' f":                    "--output: a file name cannot be empty",
		"relay :1":                       "relay needs LISTEN TARGET, got only :1\nzcp: for example: zcp relay :80 app:8080",
		"relay - -":                      "relay from - to -: that is zcp cat",
		"relay :1 :2":                    ":2: the target connects, so it needs a host: localhost:2",
		"send f h:1 -S":                  "--stop-at-size needs --size",
		"send f h:1 -qv":                 "--quiet and --verbose cannot be used together",
		"cat -qf":                        "--quiet and --force cannot be used together",
		"cat -qn":                        "--quiet and --numeric cannot be used together",
		"cat -q --explain":               "--quiet and --explain cannot be used together",
		"cat -i 0":                       "--interval: \"0\" is less than 10ms",
		"cat -i -1":                      "--interval: \"-1\" is negative",
		"cat -L 5x":                      "--rate-limit: invalid size \"5x\" (use 4096, 64k, 1.5G, 2GiB; 10MB counts in thousands)",
		"cat -L=":                        "--rate-limit: invalid size \"\" (use 4096, 64k, 1.5G, 2GiB; 10MB counts in thousands)",
		"cat -B 1k":                      "--buffer-size: \"1k\" is not between 4.00KiB and 1.00GiB",
		"cat -s @/nonexistent":           "--size: /nonexistent: no such file or directory",
		"cat -s @/dev/null":              "--size: /dev/null: neither a file nor a block device",
		"cat -s @.":                      "--size: .: neither a file nor a block device",
		"cat --quiet=maybe":              "--quiet: \"maybe\" is neither true nor false",
		"cat -a":                         "--append needs the name of a file to write",
		"cat --no-clobber":               "--no-clobber needs the name of a file to write",
		"cat -a --no-clobber -o f":       "--append and --no-clobber cannot be used together",
		"recv :1 -a":                     "--append needs the name of a file to write",
		"recv :1 fd:5 -a":                "--append needs the name of a file to write",
		"recv :1 -k f":                   "--keep-open writes one file for each connection: DST must hold %d once\nzcp: for example: zcp recv -k :9000 in-%d.log",
		"recv :1 -k":                     "--keep-open writes one file for each connection: DST must hold %d once\nzcp: for example: zcp recv -k :9000 in-%d.log",
		"recv :1 -k %d%d":                "--keep-open writes one file for each connection: DST must hold %d once\nzcp: for example: zcp recv -k :9000 in-%d.log",
		"recv :1 -ka %d":                 "--append and --keep-open cannot be used together",
		"recv h:1 -k %d":                 "--keep-open needs a listener (:PORT, or --listen)",
		"send -k - :1":                   "--keep-open cannot serve stdin: stdin can be read only once",
		"send -k f h:1":                  "--keep-open needs a listener (:PORT, or --listen)",
		"send -m 5 f :1":                 "--max-conns needs --keep-open",
		"send -km0 f :1":                 "--max-conns: invalid number of connections \"0\"",
		"send --allow 10.0.0.0/8 f h:1":  "--allow is for a listener",
		"send --deny 10.0.0.0/8 f h:1":   "--deny is for a listener",
		"send -l --allow ::1 f unix:x":   "--allow is for TCP, a Unix socket has no addresses",
		"send --allow 10/8 f :1":         "--allow: invalid network \"10/8\" (use 10.0.0.0/8, 2001:db8::/32, 192.168.1.5)",
		"send --allow 10.0.0.0/8, f :1":  "--allow: invalid network \"\" (use 10.0.0.0/8, 2001:db8::/32, 192.168.1.5)",
		"send --deny fe80::1%eth0 f :1":  "--deny: invalid network \"fe80::1%eth0\" (use 10.0.0.0/8, 2001:db8::/32, 192.168.1.5)",
		"send -l f fd:3":                 "--listen is for HOST:PORT and unix:PATH, a socket that exists knows whether it listens",
		"send --bind 10.0.0.1 f :1":      "--bind is for connecting to HOST:PORT",
		"send --bind 10.0.0.1 f unix:x":  "--bind is for connecting to HOST:PORT",
		"send --bind host f h:1":         "--bind: invalid address \"host\" (use 10.0.0.1, 10.0.0.1:9000, fe80::1%eth0, [::1]:9000)",
		"send --bind ::1 f 127.0.0.1:1":  "--bind ::1 and 127.0.0.1:1 are of different families",
		"send --retry-for 5 f :1":        "--retry-for is for connecting",
		"send -46 f h:1":                 "-4 and -6 cannot be used together",
		"send -4 f [::1]:1":              "-4: [::1]:1 is not an IPv4 address",
		"send -6 f 127.0.0.1:1":          "-6: 127.0.0.1:1 is not an IPv6 address",
		"send -6 --bind 127.0.0.1 f h:1": "-6: --bind 127.0.0.1 is not an IPv6 address",
		"send -4 f unix:x":               "-4 is for TCP",
		"relay -m 5 - h:1":               "--max-conns has no effect with - (a single connection)",
		"relay --half-close 5 - h:1":     "--half-close does not apply to -",
		"relay --drain 5 - h:1":          "--drain does not apply to -",
		"relay --exit-idle 5 - h:1":      "--exit-idle does not apply to -",
		"relay --stats :1 - h:1":         "--stats does not apply to -",
		"relay --half-close 5 :1 -":      "--half-close does not apply to -",
		"relay --allow ::1 - h:1":        "--allow is for TCP, others have no addresses",
		"relay :1 fd:3":                  "fd:3: the target is connected to anew for each client, a descriptor is one connection: zcp relay - fd:3",
		"relay --allow ::1 unix:x h:1":   "--allow is for TCP, others have no addresses",
		"relay --retry-for 5 :1 fd:3":    "--retry-for is for connecting",
		"relay --stats fd:3 :1 h:1":      "--stats: \"fd:3\": want unix:PATH or [HOST]:PORT",
		"relay --stats 9100 :1 h:1":      "--stats: \"9100\": missing port, want HOST:PORT",
		"relay -4 [::1]:1 h:1":           "-4: [::1]:1 is not an IPv4 address",
		"completion":                     "completion needs the name of a shell: bash, zsh, fish",
		"completion tcsh":                "no completion for tcsh, only for bash, zsh, fish",
		"send f h:1 --quite":             "unknown flag --quite, did you mean --quiet?",
		"relay --keep-open :1 h:1":       "relay has no --keep-open (only send and recv do)",
		"sned f h:1":                     `unknown command "sned", did you mean send?`,
	} {
		r := run(line, nil)
		if r.stdout != "" || r.config != nil || exit.Status(r.err) != exit.BadUsage || r.stderr != "zcp: "+want+"\n" {
			t.Errorf("zcp %s: status %d, stdout %q, config %v\n got %s\nwant zcp: %s", line, exit.Status(r.err), r.stdout, r.config, r.stderr, want)
		}
	}
}
