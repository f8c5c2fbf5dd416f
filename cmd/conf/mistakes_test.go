package conf

import (
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/exit"
)

// mistakes are command lines as users of nc, pv, socat and scp type them: what is said, and
// the hint behind "\n".
var mistakes = []struct{ line, want string }{
	// A port alone, a host alone.
	{"recv 9000", "\"9000\": a port alone is written :9000\nzcp recv :9000"},
	{"recv 9000 f", "\"9000\": a port alone is written :9000\nzcp recv :9000 f"},
	{"recv host 9000", "\"host\": missing port, want HOST:PORT\nhost and port go together: zcp recv host:9000"},
	{"recv host 9000 f", "recv needs NET [DST], got host 9000 f\nhost and port go together: zcp recv host:9000 f"},
	{"recv f :9000", "\"f\": missing port, want HOST:PORT\nthe network end comes first: zcp recv :9000 f"},
	{"recv host", "\"host\": missing port, want HOST:PORT\nfor example: zcp recv host:9000"},
	{"relay 80 app:8080", "\"80\": a port alone is written :80\nzcp relay :80 app:8080"},
	{"relay 80 8080", "\"80\": a port alone is written :80\nzcp relay :80 localhost:8080"},
	{"relay :80 8080", "\"8080\": the target needs a host: localhost:8080\nzcp relay :80 localhost:8080"},
	{"relay :80 app 8080", "relay needs LISTEN TARGET, got :80 app 8080\nzcp relay :80 app:8080"},
	{"send file host 9000", "\"9000\": a port alone is written :9000\nhost and port go together: zcp send file host:9000"},
	{"send a b ./c 9000", "\"9000\": a port alone is written :9000\nto serve it: zcp send a b ./c :9000; to connect: zcp send a b ./c HOST:9000"},
	{"send file 9000", "\"9000\": a port alone is written :9000\nto serve it: zcp send file :9000; to connect: zcp send file HOST:9000"},
	{"send -l 9000 file", "\"file\": missing port, want HOST:PORT\nthe network end comes last: zcp send file :9000"},
	{"send host:9000 file", "\"file\": missing port, want HOST:PORT\nthe network end comes last: zcp send file host:9000"},
	{"send file host", "\"host\": missing port, want HOST:PORT\nfor example: zcp send file host:9000"},
	{"send f /tmp/sock", "\"/tmp/sock\": missing port, want HOST:PORT; a Unix socket is unix:/tmp/sock"},
	{"relay :80 /tmp/sock", "\"/tmp/sock\": missing port, want HOST:PORT; a Unix socket is unix:/tmp/sock"},
	{"recv 0.0.0.0:9000 x", "0.0.0.0:9000: 0.0.0.0 is an address to listen on: :9000, or --listen"},
	{"send f [::]:9000", "[::]:9000: :: is an address to listen on: :9000, or --listen"},

	// Another program's way to write an end.
	{"relay tcp:80 tcp:app:80", "\"tcp:80\": missing host or colon, want HOST:80 or :80"},
	{"relay TCP-LISTEN:80,fork TCP:app:80", "\"TCP-LISTEN:80,fork\": that is socat's way to write :80"},
	{"relay :80 TCP4:app:80", "\"TCP4:app:80\": that is socat's way to write app:80"},
	{"relay UNIX-LISTEN:/s,mode=600 a:80", "\"UNIX-LISTEN:/s,mode=600\": that is socat's way to write unix:/s"},
	{"relay :80 abstract-connect:s", "\"abstract-connect:s\": that is socat's way to write unix:@s"},
	{"relay :80 exec:/bin/cat", "\"exec:/bin/cat\": zcp does not start programs (socat); a host of that name is tcp:exec:/bin/cat"},
	{"recv udp:9000", "\"udp:9000\": zcp has no UDP (nc -u, socat); a host of that name is tcp:udp:9000"},
	{"send f TLS:h:9000", "\"TLS:h:9000\": zcp does not encrypt (ncat --ssl, socat OPENSSL:, ssh); a host of that name is tcp:TLS:h:9000"},
	{"send f ssh://host/x", "\"ssh://host/x\": zcp speaks no protocol of its own, want HOST:PORT"},
	{"send f s3://b/x", "\"s3://b/x\": zcp speaks no protocol of its own, want HOST:PORT"},
	{"send f host:/path", "\"host:/path\": zcp has no remote paths, want HOST:PORT\nrun zcp at both ends: there zcp recv :9000 FILE, here zcp send FILE host:9000"},
	{"send f user@host:path/f", "\"user@host:path/f\": zcp has no remote paths, want HOST:PORT\nrun zcp at both ends: there zcp recv :9000 FILE, here zcp send FILE host:9000"},
	{"send f user@host:9000", "\"user@host:9000\": zcp does not log in, want host:9000"},

	// Another program's options.
	{"send -p 9000 file host", "unknown flag -p\nthe port stands in the operand: host:9000 to connect, :9000 to listen"},
	{"recv -p 9000", "unknown flag -p\nthe port stands in the operand: host:9000 to connect, :9000 to listen"},
	{"cat -petr f", "unknown flag -p\n-p, -e, -t, -r, -b of pv: the line always shows them"},
	{"cat -b f", "unknown flag -b\n-p, -e, -t, -r, -b of pv: the line always shows them"},
	{"cat -N name f", "cat has no -N (only send and recv do)\n-N NAME of pv: zcp cat --name NAME"},
	{"cat -l f", "cat has no -l (only send and recv do)\n-l of pv: zcp counts bytes, not lines"},
	{"recv -o f :9000", "recv has no -o (only cat does)\nrecv takes the file as its second operand: zcp recv :9000 FILE"},
	{"send -o f :9000", "send has no -o (only cat does)\nsend writes to its last operand: zcp send FILE host:9000"},
	{"relay -l :80 a:80", "relay has no -l (only send and recv do)\nrelay always listens on its first operand: zcp relay :80 app:8080"},
	{"send --limit 10M f h:1", "unknown flag --limit, did you mean --rate-limit?"},
	{"send --bwlimit=10M f h:1", "unknown flag --bwlimit, did you mean --rate-limit?"},
	{"send --buffer 1M f h:1", "unknown flag --buffer, did you mean --buffer-size?"},
	{"send --timeout 3 f h:1", "unknown flag --timeout\n--wait limits connecting, --idle limits silence"},
	{"cat --progress f", "unknown flag --progress\nthe line is shown on a terminal without being asked for, elsewhere with --force"},
	{"send -r /etc h:1", "unknown flag -r\na directory goes as one tar stream: zcp send DIR/ host:9000"},
	{"send -u f h:1", "unknown flag -u\nzcp has no UDP: nc -u, socat UDP:"},
	{"send -U f /s", "unknown flag -U\na Unix socket is unix:PATH"},
	{"send -z h:1", "unknown flag -z\nto see if a port is open: zcp probe HOST:PORT"},
	{"send -X connect f h:1", "unknown flag -X\nzcp does not speak to a proxy: nc -x, ncat --proxy"},
	{"send -T 8 f h:1", "unknown flag -T\n-T of nc: --dscp, for instance --dscp cs1"},
	{"cat --direct f", "unknown flag --direct\nzcp goes through the page cache, --sync waits for the disk: dd oflag=direct"},
	{"cat --lines f", "unknown flag --lines\nzcp counts bytes, not lines: pv -l"},
	{"cat --skip-errors f", "unknown flag --skip-errors\nto read a disk with errors: ddrescue"},
	{"send --ssl f h:1", "unknown flag --ssl\nzcp does not encrypt: ncat --ssl, socat OPENSSL:, ssh"},

	// Another program's command.
	{"-l 9000", "unknown command \"9000\" (send, recv, cat, relay, probe, completion, help)\nto receive: zcp recv :9000"},
	{"-l -p 9000", "unknown command \"9000\" (send, recv, cat, relay, probe, completion, help)\nto receive: zcp recv :9000"},
	{"host 9000", "unknown command \"host\" (send, recv, cat, relay, probe, completion, help)\nto send stdin: zcp send - host:9000"},
	{"host:9000", "unknown command \"host:9000\" (send, recv, cat, relay, probe, completion, help)\nto send stdin: zcp send - host:9000"},
	{":9000", "unknown command \":9000\" (send, recv, cat, relay, probe, completion, help)\nto receive: zcp recv :9000"},
	{"big.iso host:9000", "unknown command \"big.iso\" (send, recv, cat, relay, probe, completion, help)\nto send it: zcp send big.iso host:9000"},
	{"receive :9000", "unknown command \"receive\", did you mean recv?"},
	{"get :9000", "unknown command \"get\", did you mean recv?"},
	{"push f h:1", "unknown command \"push\", did you mean send?"},
	{"listen :9000", "unknown command \"listen\", did you mean recv?"},
	{"pipe", "unknown command \"pipe\", did you mean cat?"},

	// A relay to itself makes a connection for each connection.
	{"relay :8080 localhost:8080", "localhost:8080 is where the relay itself listens (:8080): each connection would make another"},
	{"relay 0.0.0.0:80 127.0.0.1:80", "127.0.0.1:80 is where the relay itself listens (0.0.0.0:80): each connection would make another"},
	{"relay app:80 app:80", "app:80 is where the relay itself listens (app:80): each connection would make another"},
}

func TestMistakes(t *testing.T) {
	for _, tc := range mistakes {
		r := run(tc.line, nil)
		want := "zcp: " + strings.ReplaceAll(tc.want, "\n", "\nzcp: ") + "\n"
		if r.stdout != "" || r.config != nil || exit.Status(r.err) != exit.BadUsage || r.stderr != want {
			t.Errorf("zcp %s: status %d, stdout %q, config %v\n got %swant %s", tc.line, exit.Status(r.err), r.stdout, r.config, r.stderr, want)
		}
	}
}

// TestHintsAreRight types what a hint gives as a whole line: it must be understood.
func TestHintsAreRight(t *testing.T) {
	whole := 0
	for _, tc := range mistakes {
		_, hint, _ := strings.Cut(tc.want, "\n")
		for _, part := range strings.FieldsFunc(hint, func(r rune) bool { return r == ';' || r == ',' || r == '|' }) {
			_, line, found := strings.Cut(" "+part, " zcp ")
			name, _, _ := strings.Cut(line, " ")
			if !found || commandOf(name) == 0 {
				continue
			}
			whole++
			if r := run(line, nil); r.config == nil {
				t.Errorf("zcp %s: the hint zcp %s: %s", tc.line, line, r.stderr)
			}
		}
	}
	if whole < 20 {
		t.Errorf("only %d hints hold a whole line", whole)
	}
}

// TestUsualWords are lines that other programs have taught, and that zcp takes.
func TestUsualWords(t *testing.T) {
	for _, line := range []string{"send f tcp://host:9000", "send f tcp:host:9000", "relay tcp::80 tcp:app:80", "send f tcp:udp:9000",
		"send f tcp:80:80", "send -l f 0.0.0.0:9000", "recv -l [::]:9000", "relay 0.0.0.0:80 [::1]:80", "relay 127.0.0.1:80 127.0.0.2:80", "relay :80 localhost:81"} {
		if r := run(line, nil); r.config == nil {
			t.Errorf("zcp %s: %s", line, r.stderr)
		}
	}
	for _, line := range []string{"-v", "version", "-V"} {
		if r := run(line, nil); r.stdout != "version" {
			t.Errorf("zcp %s: %q, %v", line, r.stdout, r.err)
		}
	}
	for _, line := range []string{"-q", "-vq", "version x"} {
		if r := run(line, nil); r.err == nil {
			t.Errorf("zcp %s is not a mistake: %q", line, r.stdout)
		}
	}
}
