package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// result is what a command line came to: the config that its command was
// called with, or the error, and what was printed.
type result struct {
	config         any
	err            error
	stdout, stderr string
}

func run(line string, env map[string]string) result {
	return runWords(fields(line), env)
}

func runWords(words []string, env map[string]string) result {
	var r result
	var stdout, stderr bytes.Buffer
	p := &Printer{W: &stderr}
	r.err = Run(context.Background(), append([]string{"zcp"}, words...), Streams{
		Stdout: &stdout, Printer: p,
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Build:     Build{Version: "v1.2.3", Commit: "abcdef", Date: "2026-11-22"},
	}, Commands{
		Send:  func(_ context.Context, c *SendConfig) error { r.config = c; return nil },
		Recv:  func(_ context.Context, c *RecvConfig) error { r.config = c; return nil },
		Cat:   func(_ context.Context, c *CatConfig) error { r.config = c; return nil },
		Relay: func(_ context.Context, c *RelayConfig) error { r.config = c; return nil },
	})
	p.Error(r.err)
	r.stdout, r.stderr = stdout.String(), stderr.String()
	return r
}

// TestContract holds the table of flags against the one users were promised.
func TestContract(t *testing.T) {
	want := map[string]command{
		"quiet q": every, "verbose v": every, "force f": oneWay, "numeric n": oneWay, "json ": every,
		"interval i DUR": oneWay, "N N": send | recv, "size s SIZE": oneWay, "stop-at-size S": oneWay,
		"rate-limit L SIZE": every, "buffer-size B SIZE": every, "no-splice C": every, "output o FILE": cat,
		"append a": recv | cat, "no-clobber ": recv | cat, "sync ": recv | cat, "listen l": send | recv,
		"keep-open k": send | recv, "wait w DUR": network, "retry-for  DUR": network, "idle  DUR": network,
		"linger  DUR": send, "half-close  DUR": relay, "max-conns m N": network, "allow  CIDR,...": network,
		"deny  CIDR,...": network, "drain  DUR": relay, "exit-idle  DUR": relay, "rate-total  SIZE": relay,
		"stats  unix:PATH|[HOST]:PORT": relay, "bind  ADDR[:PORT]": network, "4 4": network, "6 6": network, "explain ": every,
	}
	letters := map[string]string{"h": "help", "V": "version"}
	for _, o := range options {
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
		if o.arg != "" && o.set == nil {
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
		"send f h:1": &SendConfig{Transfer: xfer, Length: Length{Size: -1}, Network: Network{Wait: 10 * time.Second},
			Sources: []Operand{file}, Net: host, Linger: 10 * time.Second},
		"send f :1": &SendConfig{Transfer: xfer, Length: Length{Size: -1}, Sources: []Operand{file}, Net: serve, Linger: 10 * time.Second},
		"recv :1":   &RecvConfig{Transfer: xfer, Length: Length{Size: -1}, Net: serve, Dest: Operand{Kind: FD, FD: 1, Text: "-"}},
		"recv h:1 f": &RecvConfig{Transfer: xfer, Length: Length{Size: -1}, Network: Network{Wait: 10 * time.Second},
			Net: host, Dest: file},
		"cat": &CatConfig{Transfer: xfer, Length: Length{Size: -1}, Sources: []Operand{{Kind: FD, FD: 0, Text: "-"}}, Dest: Operand{Kind: FD, FD: 1, Text: "-"}},
		"relay :1 h:1": &RelayConfig{Transfer: xfer, Network: Network{Wait: 10 * time.Second}, Listen: serve, Target: host,
			HalfClose: 5 * time.Minute, Drain: NoLimit},
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
	want := &SendConfig{
		Display:  Display{Verbose: true, Force: true, JSON: true, Explain: true, Interval: 500 * time.Millisecond},
		Transfer: Transfer{RateLimit: 10 << 20, BufferSize: 64 << 10, NoSplice: true}, Length: Length{Size: 5, StopAtSize: true},
		Network: Network{Family: 4, Wait: 2 * time.Minute, Idle: 30 * time.Second, MaxConns: 9,
			Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("192.168.7.0/24")},
			Deny:  []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}},
		Sources:  []Operand{{Kind: File, Path: "a", Text: "a"}, {Kind: File, Path: "b", Text: "b"}, {Kind: Zero, Text: "zero:"}},
		Net:      Operand{Kind: TCP, Network: "tcp", Host: "localhost", Port: "1", Text: "localhost:1", Listen: true},
		KeepOpen: true,
	}
	if r.err != nil || !reflect.DeepEqual(r.config, want) {
		t.Errorf("send:\n got %+v, %v\nwant %+v", r.config, r.err, want)
	}
	r = run("recv -n --append --sync -6 --bind [fe80::1%eth0]:99 --retry-for 3 h:1 f", nil)
	if c, ok := r.config.(*RecvConfig); !ok || !c.Numeric || !c.Append || !c.Sync || c.Family != 6 || c.RetryFor != 3*time.Second ||
		c.Bind != netip.MustParseAddrPort("[fe80::1%eth0]:99") {
		t.Errorf("recv: %+v, %v", r.config, r.err)
	}
	for bind, want := range map[string]string{"::1": "[::1]:0", "[::1]": "[::1]:0", "10.0.0.1": "10.0.0.1:0", "10.0.0.1:5": "10.0.0.1:5"} {
		if c, ok := run("recv --bind "+bind+" h:1", nil).config.(*RecvConfig); !ok || c.Bind.String() != want {
			t.Errorf("--bind %s: %+v", bind, c)
		}
	}
	r = run("cat --no-clobber -o out", nil)
	if c, ok := r.config.(*CatConfig); !ok || !c.NoClobber || c.Dest.Path != "out" {
		t.Errorf("cat: %+v, %v", r.config, r.err)
	}
	r = run("relay --half-close 0 --drain 0 --exit-idle 1h --rate-total 1G --stats :9100 --bind ::1 sd:web unix:x", nil)
	if r.err == nil {
		t.Error("--bind with a Unix target is no error")
	}
	r = run("relay --half-close 0 --drain 0 --exit-idle 1h --rate-total 1G --stats :9100 --bind 127.0.0.2 sd:web a:1", nil)
	if c, ok := r.config.(*RelayConfig); !ok || c.HalfClose != 0 || c.Drain != 0 || c.ExitIdle != time.Hour || c.RateTotal != 1<<30 ||
		c.Stats == nil || c.Stats.Host != "127.0.0.1" || !c.Stats.Listen || c.Bind.Addr().String() != "127.0.0.2" || c.Listen.Name != "web" {
		t.Errorf("relay: %+v, %v", r.config, r.err)
	}
}

func TestEnvironment(t *testing.T) {
	for _, tc := range []struct {
		line string
		env  map[string]string
		ok   func(any) bool
	}{
		{"cat", map[string]string{"ZCP_RATE_LIMIT": "10M"}, func(c any) bool { return c.(*CatConfig).RateLimit == 10<<20 }},
		{"cat -L 5", map[string]string{"ZCP_RATE_LIMIT": "10M"}, func(c any) bool { return c.(*CatConfig).RateLimit == 5 }},
		{"cat", map[string]string{"ZCP_QUIET": "yes"}, func(c any) bool { return c.(*CatConfig).Quiet }},
		{"cat", map[string]string{"ZCP_QUIET": "0"}, func(c any) bool { return !c.(*CatConfig).Quiet }},
		{"cat", map[string]string{"ZCP_QUIET": ""}, func(c any) bool { return !c.(*CatConfig).Quiet }},
		{"cat --quiet=no", map[string]string{"ZCP_QUIET": "1"}, func(c any) bool { return !c.(*CatConfig).Quiet }},
		// what was typed wins over what was only set
		{"cat -v", map[string]string{"ZCP_QUIET": "1"}, func(c any) bool { return c.(*CatConfig).Verbose && !c.(*CatConfig).Quiet }},
		{"cat -q", map[string]string{"ZCP_VERBOSE": "1"}, func(c any) bool { return !c.(*CatConfig).Verbose && c.(*CatConfig).Quiet }},
		// for another command, or another kind of end
		{"cat", map[string]string{"ZCP_KEEP_OPEN": "nonsense", "ZCP_IDLE": "x"}, func(c any) bool { return true }},
		{"send f h:1", map[string]string{"ZCP_ALLOW": "10.0.0.0/8", "ZCP_KEEP_OPEN": "1"}, func(c any) bool {
			return c.(*SendConfig).Allow == nil && !c.(*SendConfig).KeepOpen
		}},
		{"send f fd:3", map[string]string{"ZCP_LISTEN": "1"}, func(c any) bool { return !c.(*SendConfig).Net.Listen }},
		{"send f h:1", map[string]string{"ZCP_STOP_AT_SIZE": "1"}, func(c any) bool { return !c.(*SendConfig).StopAtSize }},
		// lists add up within one origin, not across
		{"send f :1 --allow ::1 --allow ::2", map[string]string{"ZCP_ALLOW": "10.0.0.0/8"}, func(c any) bool { return len(c.(*SendConfig).Allow) == 2 }},
	} {
		r := run(tc.line, tc.env)
		if r.err != nil || r.config == nil || !tc.ok(r.config) {
			t.Errorf("%v zcp %s: %+v, %v", tc.env, tc.line, r.config, r.err)
		}
	}
	for _, tc := range []struct{ line, name, value, want string }{
		{"cat", "ZCP_RATE_LIMIT", "5x", "ZCP_RATE_LIMIT: \"5x\" is no size (4096, 64k, 1.5G, 2GiB; 10MB counts in thousands)"},
		{"cat", "ZCP_QUIET", "maybe", "ZCP_QUIET: \"maybe\" is neither true nor false"},
		{"send f :1", "ZCP_DENY", "\x1b[2J", "ZCP_DENY: \"\\x1b[2J\" is no network (10.0.0.0/8, 2001:db8::/32, 192.168.1.5)"},
	} {
		r := run(tc.line, map[string]string{tc.name: tc.value})
		if ExitStatus(r.err) != StatusUsage || r.config != nil || r.stdout != "" || r.stderr != "zcp: "+tc.want+"\n" {
			t.Errorf("%s=%q zcp %s: %s, want %s", tc.name, tc.value, tc.line, r.stderr, tc.want)
		}
	}
	if o := find("rate-limit"); o.env() != "ZCP_RATE_LIMIT" {
		t.Errorf("env = %s", o.env())
	}
	if o := findLetter("4"); o.env() != "" {
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
			for _, o := range options {
				if has := strings.Contains(r.stdout, o.help()); has != (o.in&commandOf(name) != 0) {
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
	r := run("", nil)
	if ExitStatus(r.err) != StatusUsage || r.stdout != "" || r.stderr != appHelp() {
		t.Errorf("zcp alone: %v, stdout %q, stderr %q", r.err, r.stdout, r.stderr)
	}
	r = run("-v --json", nil)
	if ExitStatus(r.err) != StatusUsage || !strings.Contains(r.stderr, `"no command (send,`) {
		t.Errorf("zcp --json: %v, stderr %q", r.err, r.stderr)
	}
}

func TestVersion(t *testing.T) {
	for _, line := range []string{"--version", "-V", "send --version"} {
		if r := run(line, nil); r.err != nil || r.stderr != "" || !strings.HasPrefix(r.stdout, "zcp 1.2.3 (abcdef, 2026-11-22, go") || strings.Count(r.stdout, "\n") != 1 {
			t.Errorf("zcp %s: %q, %v", line, r.stdout, r.err)
		}
	}
	if s := (Build{}).String(); !strings.HasPrefix(s, "zcp ") || !strings.Contains(s, "go1.") {
		t.Errorf("without -ldflags: %q", s)
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
	for _, name := range append(append(optionNames(), commandNames...), "h", "-h", "--help", "--", "-q") {
		r := runWords([]string{"send", "--quiet", "--size=5", "--", name, "help:1"}, nil)
		c, ok := r.config.(*SendConfig)
		if !ok || r.err != nil || len(c.Sources) != 1 || c.Sources[0].Text != name || c.Net.Host != "help" || !c.Quiet || c.Size != 5 {
			t.Errorf("%s: %+v, %v, %s", name, r.config, r.err, r.stdout)
		}
	}
}

// TestUsageAsEvent: with --json a mistake is an object too.
func TestUsageAsEvent(t *testing.T) {
	r := run("cat --json --bogus", nil)
	var e Trouble
	if err := json.Unmarshal([]byte(r.stderr), &e); err != nil || e.Event != "error" || e.Status != StatusUsage || e.Error != "unknown flag --bogus" {
		t.Errorf("%q: %+v, %v", r.stderr, e, err)
	}
	if r := run("cat -n --json", nil); !strings.Contains(r.stderr, `"error":"--numeric and --json exclude each other","status":2}`) {
		t.Errorf("%q", r.stderr)
	}
	if r := run("cat -o x -- --json --bogus", nil); r.err != nil || strings.HasPrefix(r.stderr, "{") {
		t.Errorf("behind -- it is a file: %q, %v", r.stderr, r.err)
	}
}

// brokenWriter is a stdout that cannot be written to.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestStdoutFails(t *testing.T) {
	full := errors.New("no space left on device")
	for _, line := range []string{"--help", "send -h", "--version", "completion bash"} {
		err := Run(context.Background(), append([]string{"zcp"}, fields(line)...), Streams{
			Stdout: brokenWriter{full}, Printer: &Printer{W: io.Discard}, LookupEnv: os.LookupEnv,
		}, Commands{})
		if !errors.Is(err, full) || ExitStatus(err) != StatusFailed {
			t.Errorf("zcp %s > full: %v", line, err)
		}
	}
}

// TestBodyError: what a body returns comes back as it is.
func TestBodyError(t *testing.T) {
	want := &Failure{Err: errors.New("reset"), Status: StatusIncomplete, Hint: "try again"}
	err := Run(context.Background(), []string{"zcp", "cat"}, Streams{Stdout: io.Discard, Printer: &Printer{W: io.Discard}, LookupEnv: os.LookupEnv},
		Commands{Cat: func(context.Context, *CatConfig) error { return want }})
	if err != error(want) || ExitStatus(err) != 3 || hintOf(err) != "try again" {
		t.Errorf("got %v", err)
	}
	if ExitStatus(nil) != 0 || ExitStatus(io.EOF) != 1 || ExitStatus(&Failure{Err: io.EOF}) != 1 {
		t.Error("ExitStatus is wrong")
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
		case r.err != nil && (ExitStatus(r.err) != StatusUsage || r.stdout != "" || r.stderr == ""):
			t.Fatalf("%q: %v, stdout %q, stderr %q", line, r.err, r.stdout, r.stderr)
		case r.err == nil && r.config == nil && r.stdout == "":
			t.Fatalf("%q: nothing came of it", line)
		}
		if hasUnseen(strings.ReplaceAll(r.stderr, "\n", "")) {
			t.Fatalf("%q: %q", line, r.stderr)
		}
	})
}
