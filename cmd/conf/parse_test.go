package conf

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// result is what a command line came to: the config, or the text for standard output, or the
// error and its lines.
type result struct {
	config         any
	err            error
	stdout, stderr string
}

func run(line string, env map[string]string) result {
	return runWords(fields(line), env)
}

func runWords(words []string, env map[string]string) (r result) {
	asked, err := Parse(append([]string{"zcp"}, words...), func(name string) (string, bool) { v, ok := env[name]; return v, ok })
	r.err = err
	if err != nil {
		r.stderr = "zcp: " + text.Escape(err.Error()) + "\n"
		if hint := exit.Hint(err); hint != "" {
			r.stderr += "zcp: " + text.Escape(hint) + "\n"
		}
	}
	switch asked := asked.(type) {
	case nil:
	case Print:
		r.stdout = asked.Text
	case Version:
		r.stdout = "version"
	default:
		r.config = asked
	}
	return r
}

// TestContract holds the table of flags against the one users were promised.
func TestContract(t *testing.T) {
	want := map[string]command{
		"quiet q": all, "verbose v": all, "force f": oneWay, "numeric n": oneWay, "json ": all,
		"interval i DUR": oneWay, "N N": send | recv, "size s SIZE": oneWay, "stop-at-size S": oneWay,
		"delay D DUR": oneWay, "name  TEXT": all, "bits ": every, "log-time ": all, "skip  SIZE": send | cat, "dscp  NAME|0-63": network, "socket-mode  MODE": network, "rate-limit L SIZE": every, "buffer-size B SIZE": every, "no-splice C": every, "output o FILE": cat,
		"append a": recv | cat, "no-clobber ": recv | cat, "sync ": recv | cat, "resume ": send | recv, "hash  ALG": oneWay, "expect  HEX": recv | cat, "verify ": send | recv, "listen l": send | recv,
		"keep-open k": send | recv, "wait w DUR": network | probe, "retry-for  DUR": network | probe, "idle  DUR": network,
		"linger  DUR": send, "half-close  DUR": relay, "max-conns m N": network, "allow  CIDR,...": network,
		"deny  CIDR,...": network, "drain  DUR": relay, "exit-idle  DUR": relay, "rate-total  SIZE": relay,
		"to  NET": send | recv, "drop-slow  DUR": send,
		"congestion  ALG":              send | relay,
		"stats  unix:PATH|[HOST]:PORT": relay, "spread ": relay, "takeover  unix:PATH": relay, "as-client ": relay, "grace  DUR": relay, "send-proxy  v1|v2": relay, "accept-proxy  CIDR,...|unix": relay, "bind  [ADDR][:PORT]": network | probe, "4 4": network | probe, "6 6": network | probe, "explain ": every,
		"tar ": send | cat, "exclude  GLOB": send | cat, "one-file-system x": send | cat, "special ": oneWay, "no-same-owner ": recv | cat, "xattrs ": oneWay,
	}
	letters := map[string]string{"h": "help", "V": "version"}
	for _, o := range newTable(new(values)) {
		key := strings.TrimRight(o.name+" "+o.letter+" "+o.arg, " ")
		if o.arg == "" {
			key = o.name + " " + o.letter
		}
		if in, ok := want[key]; !ok || in != o.in {
			t.Errorf("flag %q of %s, want %s (promised: %v)", key, o.in, in, ok)
		}
		delete(want, key)
		if other := letters[o.letter]; o.letter != "" && other != "" {
			t.Errorf("-%s means both --%s and --%s", o.letter, o.name, other)
		}
		letters[o.letter] = o.name
		if o.arg != "" && o.set == nil && o.to == nil {
			t.Errorf("--%s takes a value and does nothing with it", o.name)
		}
	}
	for key := range want {
		t.Errorf("flag %q is missing", key)
	}
}

func TestDefaults(t *testing.T) {
	xfer := Transfer{BufferSize: 1 << 20}
	host := Operand{Kind: TCP, Network: "tcp", Host: "h", Port: "1", Text: "h:1"}
	serve := Operand{Kind: TCP, Network: "tcp", Port: "1", Text: ":1", Listen: true}
	file := Operand{Kind: File, Path: "f", Text: "f"}
	for line, want := range map[string]any{
		"send f h:1": &Send{Transfer: xfer, Length: Length{Size: -1}, Network: Network{Wait: 10 * time.Second},
			Sources: []Operand{file}, Net: host, Linger: 10 * time.Second},
		"send f :1": &Send{Transfer: xfer, Length: Length{Size: -1}, Sources: []Operand{file}, Net: serve, Linger: 10 * time.Second},
		"recv :1":   &Recv{Transfer: xfer, Length: Length{Size: -1}, Net: serve, Dest: Operand{Kind: FD, FD: 1, Text: "-"}},
		"recv h:1 f": &Recv{Transfer: xfer, Length: Length{Size: -1}, Network: Network{Wait: 10 * time.Second},
			Net: host, Dest: file},
		"cat": &Cat{Transfer: xfer, Length: Length{Size: -1}, Sources: []Operand{{Kind: FD, FD: 0, Text: "-"}}, Dest: Operand{Kind: FD, FD: 1, Text: "-"}},
		"relay :1 h:1": &Relay{Transfer: xfer, Network: Network{Wait: 10 * time.Second}, Pairs: []Pair{{serve, []Operand{host}}},
			Relaying: Relaying{HalfClose: 5 * time.Minute, Drain: NoLimit}},
	} {
		r := run(line, nil)
		if r.err != nil || !reflect.DeepEqual(r.config, want) || r.stdout+r.stderr != "" {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", line, r.config, r.err, want)
		}
	}
}

func TestEveryFlag(t *testing.T) {
	name := filepath.Join(t.TempDir(), "five")
	if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := run("send a -vfC --json -i 0.5 --explain -s @"+name+" -S -L 10M -B64k b zero: -Nlk -m9 --allow 10.0.0.0/8,::1 --allow 192.168.7.9/24"+
		" --deny 10.1.0.0/16 -4 -w 2m --idle 30s --linger 0 localhost:1", nil)
	want := &Send{
		Display:  Display{Verbose: true, Force: true, JSON: true, Explain: true, Interval: 500 * time.Millisecond},
		Transfer: Transfer{RateLimit: 10 << 20, BufferSize: 64 << 10, NoSplice: true}, Length: Length{Size: 5, StopAtSize: true},
		Network: Network{Family: 4, Wait: 2 * time.Minute, Idle: 30 * time.Second, MaxConns: 9, KeepOpen: true,
			Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.168.7.0/24")},
			Deny:  []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		Sources: []Operand{{Kind: File, Path: "a", Text: "a"}, {Kind: File, Path: "b", Text: "b"}, {Kind: Zero, Text: "zero:"}},
		Net:     Operand{Kind: TCP, Network: "tcp", Host: "localhost", Port: "1", Text: "localhost:1", Listen: true},
	}
	if r.err != nil || !reflect.DeepEqual(r.config, want) {
		t.Errorf("send:\n got %+v, %v\nwant %+v", r.config, r.err, want)
	}
	r = run("recv -n --append --sync -6 --bind [fe80::1%eth0]:99 --retry-for 3 h:1 f", nil)
	if c, ok := r.config.(*Recv); !ok || !c.Numeric || !c.Append || !c.Sync || c.Family != 6 || c.RetryFor != 3*time.Second ||
		c.Bind != netip.MustParseAddrPort("[fe80::1%eth0]:99") {
		t.Errorf("recv: %+v, %v", r.config, r.err)
	}
	for bind, want := range map[string]string{"::1": "[::1]:0", "[::1]": "[::1]:0", "10.0.0.1": "10.0.0.1:0", "10.0.0.1:5": "10.0.0.1:5"} {
		if c, ok := run("recv --bind "+bind+" h:1", nil).config.(*Recv); !ok || c.Bind.String() != want {
			t.Errorf("--bind %s: %+v", bind, c)
		}
	}
	r = run("cat --no-clobber -o out", nil)
	if c, ok := r.config.(*Cat); !ok || !c.NoClobber || c.Dest.Path != "out" {
		t.Errorf("cat: %+v, %v", r.config, r.err)
	}
	r = run("relay --half-close 0 --drain 0 --exit-idle 1h --rate-total 1G --stats :9100 --bind ::1 sd:web unix:x", nil)
	if r.err == nil {
		t.Error("--bind with a Unix target is not an error")
	}
	r = run("relay --half-close 0 --drain 0 --exit-idle 1h --rate-total 1G --stats :9100 --bind 127.0.0.2 sd:web a:1", nil)
	if c, ok := r.config.(*Relay); !ok || c.HalfClose != 0 || c.Drain != 0 || c.ExitIdle != time.Hour || c.RateTotal != 1<<30 ||
		c.Stats == nil || c.Stats.Host != "127.0.0.1" || !c.Stats.Listen || c.Bind.Addr().String() != "127.0.0.2" || c.Pairs[0].Listen.Name != "web" {
		t.Errorf("relay: %+v, %v", r.config, r.err)
	}
}

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct {
		line string
		env  map[string]string
		ok   func(any) bool
	}{
		{"cat", map[string]string{"ZCP_RATE_LIMIT": "10M"}, func(c any) bool { return c.(*Cat).RateLimit == 10<<20 }},
		{"cat -L 5", map[string]string{"ZCP_RATE_LIMIT": "10M"}, func(c any) bool { return c.(*Cat).RateLimit == 5 }},
		{"cat", map[string]string{"ZCP_QUIET": "yes"}, func(c any) bool { return c.(*Cat).Quiet }},
		{"cat", map[string]string{"ZCP_QUIET": "0"}, func(c any) bool { return !c.(*Cat).Quiet }},
		{"cat", map[string]string{"ZCP_QUIET": ""}, func(c any) bool { return !c.(*Cat).Quiet }},
		{"cat --quiet=no", map[string]string{"ZCP_QUIET": "1"}, func(c any) bool { return !c.(*Cat).Quiet }},
		// what was typed wins over what was only set
		{"cat -v", map[string]string{"ZCP_QUIET": "1"}, func(c any) bool { return c.(*Cat).Verbose && !c.(*Cat).Quiet }},
		{"cat -q", map[string]string{"ZCP_VERBOSE": "1"}, func(c any) bool { return !c.(*Cat).Verbose && c.(*Cat).Quiet }},
		// for another command, or another kind of end
		{"cat", map[string]string{"ZCP_KEEP_OPEN": "nonsense", "ZCP_IDLE": "x"}, func(c any) bool { return true }},
		{"send f h:1", map[string]string{"ZCP_ALLOW": "10.0.0.0/8", "ZCP_KEEP_OPEN": "1"}, func(c any) bool {
			return c.(*Send).Allow == nil && !c.(*Send).KeepOpen
		}},
		{"send f fd:3", map[string]string{"ZCP_LISTEN": "1"}, func(c any) bool { return !c.(*Send).Net.Listen }},
		{"send f h:1", map[string]string{"ZCP_STOP_AT_SIZE": "1"}, func(c any) bool { return !c.(*Send).StopAtSize }},
		// lists add up within one origin, not across
		{"send f :1 --allow ::1 --allow ::2", map[string]string{"ZCP_ALLOW": "10.0.0.0/8"}, func(c any) bool { return len(c.(*Send).Allow) == 2 }},
	} {
		r := run(tc.line, tc.env)
		if r.err != nil || r.config == nil || !tc.ok(r.config) {
			t.Errorf("%v zcp %s: %+v, %v", tc.env, tc.line, r.config, r.err)
		}
	}
	for _, tc := range []struct{ line, name, value, want string }{
		{"cat", "ZCP_RATE_LIMIT", "5x", "ZCP_RATE_LIMIT: invalid rate \"5x\" (use 10M, 1.5G, 10MB/s, 100Mbit, 1Gbit/s)"},
		{"cat", "ZCP_QUIET", "maybe", "ZCP_QUIET: \"maybe\" is neither true nor false"},
		{"send f :1", "ZCP_DENY", "\x1b[2J", "ZCP_DENY: invalid network \"\\x1b[2J\" (use 10.0.0.0/8, 2001:db8::/32, 192.168.1.5)"},
	} {
		r := run(tc.line, map[string]string{tc.name: tc.value})
		if exit.Status(r.err) != exit.BadUsage || r.config != nil || r.stdout != "" || r.stderr != "zcp: "+tc.want+"\n" {
			t.Errorf("%s=%q zcp %s: %s, want %s", tc.name, tc.value, tc.line, r.stderr, tc.want)
		}
	}
	if o := newTable(new(values)).find("rate-limit"); o.env() != "ZCP_RATE_LIMIT" {
		t.Errorf("env = %s", o.env())
	}
	if o := newTable(new(values)).findLetter("4"); o.env() != "" {
		t.Errorf("-4 has the variable %s", o.env())
	}
}

// TestHelp asks for every help there is, with an environment full of nonsense:
// it is on stdout, fits 80 columns, examples too, and names every flag.
func TestHelp(t *testing.T) {
	for _, name := range commandNames {
		for _, line := range []string{name + " --help", "help " + name, name + " --bogus -h", "-h " + name} {
			r := run(line, map[string]string{"ZCP_SIZE": "nonsense"})
			if r.err != nil || r.stderr != "" || r.config != nil || !strings.HasPrefix(r.stdout, "zcp") {
				t.Fatalf("zcp %s: %v, stderr %q, stdout %q", line, r.err, r.stderr, r.stdout)
			}
			for _, o := range newTable(new(values)) {
				if has := strings.Contains(r.stdout, o.help(commandOf(name))); has != (o.in&commandOf(name) != 0) {
					t.Errorf("zcp %s: %s is in it: %v", line, o.String(), has)
				}
			}
			for _, row := range strings.Split(r.stdout, "\n") {
				if len(row) > helpWidth || strings.HasSuffix(row, " ") {
					t.Errorf("zcp %s: row of %d: %q", line, len(row), row)
				}
			}
		}
	}
	if r := run("", nil); r.err != error(NoCommand) || r.stdout != "" {
		t.Errorf("zcp alone: %v, stdout %q", r.err, r.stdout)
	}
	if help := run("--help", nil).stdout; help != Help() {
		t.Errorf("zcp --help: %s", help)
	}
}

func TestVersion(t *testing.T) {
	for _, line := range []string{"--version", "-V", "send --version"} {
		if r := run(line, nil); r.err != nil || r.stdout != "version" {
			t.Errorf("zcp %s: %q, %v", line, r.stdout, r.err)
		}
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if r := run("completion "+shell, nil); r.err != nil || r.stderr != "" || !strings.Contains(r.stdout, "zcp") {
			t.Errorf("%s: %q, %v", shell, r.stdout, r.err)
		}
	}
}

// TestFlagNamesAsOperands sends files called like flags, commands and help: the
// library would like to take them for its own.
func TestFlagNamesAsOperands(t *testing.T) {
	for _, name := range append(append(newTable(new(values)).longNames(), commandNames...), "h", "-h", "--help", "--", "-q") {
		r := runWords([]string{"send", "--quiet", "--size=5", "--", name, "help:1"}, nil)
		c, ok := r.config.(*Send)
		if !ok || r.err != nil || len(c.Sources) != 1 || c.Sources[0].Text != name || c.Net.Host != "help" || !c.Quiet || c.Size != 5 {
			t.Errorf("%s: %+v, %v, %s", name, r.config, r.err, r.stdout)
		}
	}
}

func TestAsksJSON(t *testing.T) {
	for line, want := range map[string]bool{"cat --json --bogus": true, "cat": false, "cat -o x -- --json": false} {
		if got := AsksJSON(fields(line), os.LookupEnv); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
	for value, want := range map[string]bool{"1": true, "0": false, "": false, "x": false} {
		if got := AsksJSON(nil, func(string) (string, bool) { return value, true }); got != want {
			t.Errorf("ZCP_JSON=%s: %v", value, got)
		}
	}
}

// FuzzRun: no command line panics, writes to stdout by mistake, or ends with
// anything but a config or a usage error.
func FuzzRun(f *testing.F) {
	for _, s := range []string{"send a h:1", "recv :1 f -k", "cat -L 5 -i 1ms", "relay - h:1", "relay --allow ::/0 :1 [::1]:2", "completion bash", "-46"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r := runWords(strings.Split(line, " "), nil)
		switch {
		case r.err != nil && (exit.Status(r.err) != exit.BadUsage || r.stdout != "" || r.stderr == ""):
			t.Fatalf("%q: %v, stdout %q, stderr %q", line, r.err, r.stdout, r.stderr)
		case r.err == nil && r.config == nil && r.stdout == "":
			t.Fatalf("%q: nothing came of it", line)
		}
		if text.Unseen(strings.ReplaceAll(r.stderr, "\n", "")) {
			t.Fatalf("%q: %q", line, r.stderr)
		}
	})
}

// TestEstimate: ~SIZE and ~@FILE are estimates, and -S needs to know.
func TestEstimate(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]Length{
		"-s~4G": {Size: 4 << 30, Estimate: true}, "--size=~@" + name: {Size: 5, Estimate: true}, "-s4G": {Size: 4 << 30},
	} {
		if c, ok := run("cat "+word, nil).config.(*Cat); !ok || c.Length != want {
			t.Errorf("%s: %+v, want %+v", word, c, want)
		}
	}
	if r := run("cat -S -s ~5", nil); r.stderr != "zcp: --stop-at-size needs an exact --size\n" {
		t.Errorf("said %q", r.stderr)
	}
}

func TestUnknownVariables(t *testing.T) {
	got := UnknownVariables([]string{"PATH=/bin", "ZCP_RATE_LIMIT=1M", "ZCP_RATELIMIT=1M", "ZCP_JUNGLE=", "ZCP_", "zcp_quiet=1", "ZCP_IDEL=5"})
	want := []string{"ZCP_RATELIMIT is not a variable of zcp, did you mean ZCP_RATE_LIMIT?", "ZCP_JUNGLE is not a variable of zcp",
		"ZCP_ is not a variable of zcp", "ZCP_IDEL is not a variable of zcp, did you mean ZCP_IDLE?"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
