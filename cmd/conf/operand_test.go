package conf

import (
	"net"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

func TestParseSource(t *testing.T) {
	for word, want := range map[string]Operand{
		"file":             {Kind: File, Path: "file"},
		"./-":              {Kind: File, Path: "./-"},
		"./fd:3":           {Kind: File, Path: "./fd:3"},
		"host:9000":        {Kind: File, Path: "host:9000"}, // the place says that it is a file
		"unix:x":           {Kind: File, Path: "unix:x"},
		"photos/":          {Kind: File, Path: "photos/", Dir: true},
		"with space":       {Kind: File, Path: "with space"},
		"-":                {Kind: FD, FD: 0},
		"fd:0":             {Kind: FD, FD: 0},
		"fd:17":            {Kind: FD, FD: 17},
		"fd:2147483647":    {Kind: FD, FD: 2147483647},
		"/dev/stdin":       {Kind: FD, FD: 0},
		"/dev/stderr":      {Kind: FD, FD: 2},
		"/dev/fd/5":        {Kind: FD, FD: 5},
		"/proc/self/fd/5":  {Kind: FD, FD: 5},
		"/dev/fd/x":        {Kind: File, Path: "/dev/fd/x"},
		"/proc/self/fd/":   {Kind: File, Path: "/proc/self/fd/", Dir: true},
		"/proc/self/fdx/5": {Kind: File, Path: "/proc/self/fdx/5"},
		"zero:":            {Kind: Zero},
		"zero":             {Kind: File, Path: "zero"},
	} {
		want.Text = word
		if got, err := parseSource(word); err != nil || got != want {
			t.Errorf("ParseSource(%q) = %+v, %v, want %+v", word, got, err, want)
		}
	}
	for word, want := range map[string]string{
		"":              "a file name cannot be empty",
		"a\x00b":        `"a\x00b": a name cannot hold a zero byte`,
		"fd:":           `"fd:": want fd:N with a number from 0 to 2147483647; a file of that name is "./fd:"`,
		"fd:-1":         "fd:-1: want fd:N with a number from 0 to 2147483647; a file of that name is ./fd:-1",
		"fd:2147483648": "fd:2147483648: want fd:N with a number from 0 to 2147483647; a file of that name is ./fd:2147483648",
		"null:":         "null: is a destination, not a source",
	} {
		wantError(t, "ParseSource", word, want, second(parseSource(word)))
	}
}

func TestParseDest(t *testing.T) {
	for word, want := range map[string]Operand{
		"file":        {Kind: File, Path: "file"},
		"-":           {Kind: FD, FD: 1},
		"/dev/stdout": {Kind: FD, FD: 1},
		"null:":       {Kind: Null},
	} {
		want.Text = word
		if got, err := parseDest(word); err != nil || got != want {
			t.Errorf("ParseDest(%q) = %+v, %v, want %+v", word, got, err, want)
		}
	}
	wantError(t, "ParseDest", "zero:", "zero: is a source, not a destination", second(parseDest("zero:")))
}

// nets are the network ends that every role reads alike, but for Listen.
var nets = map[string]Operand{
	"host:9000":           {Kind: TCP, Network: "tcp", Host: "host", Port: "9000"},
	"host:http":           {Kind: TCP, Network: "tcp", Host: "host", Port: "http"},
	"my_host.local:080":   {Kind: TCP, Network: "tcp", Host: "my_host.local", Port: "80"},
	"10.0.0.2:65535":      {Kind: TCP, Network: "tcp", Host: "10.0.0.2", Port: "65535"},
	"bücher.example:1":    {Kind: TCP, Network: "tcp", Host: "bücher.example", Port: "1"},
	"[::1]:80":            {Kind: TCP, Network: "tcp", Host: "::1", Port: "80"},
	"[fe80::1%eth0]:80":   {Kind: TCP, Network: "tcp", Host: "fe80::1%eth0", Port: "80"},
	"[::ffff:1.2.3.4]:80": {Kind: TCP, Network: "tcp", Host: "::ffff:1.2.3.4", Port: "80"},
	"tcp:host:9000":       {Kind: TCP, Network: "tcp", Host: "host", Port: "9000"},
	"tcp:[::1]:9000":      {Kind: TCP, Network: "tcp", Host: "::1", Port: "9000"},
	"unix:/run/x.sock":    {Kind: Unix, Network: "unix", Path: "/run/x.sock"},
	"unix:x:y":            {Kind: Unix, Network: "unix", Path: "x:y"},
	"unix:./@x":           {Kind: Unix, Network: "unix", Path: "./@x"},
	"unix:@name":          {Kind: Unix, Network: "unix", Name: "name"},
	"fd:3":                {Kind: FD, FD: 3},
	"/dev/fd/3":           {Kind: FD, FD: 3},
}

func TestParseNetEnds(t *testing.T) {
	for word, want := range nets {
		want.Text = word
		for _, listen := range []bool{false, true} {
			want.Listen = listen && want.Kind != FD
			if got, err := parseNet(word, listen); err != nil || got != want {
				t.Errorf("ParseNet(%q, %v) = %+v, %v, want %+v", word, listen, got, err, want)
			}
		}
		want.Listen = want.Kind != FD
		if got, err := parseListen(word); err != nil || got != want {
			t.Errorf("ParseListen(%q) = %+v, %v, want %+v", word, got, err, want)
		}
		want.Listen = false
		if got, err := parseTarget(word); err != nil || got != want {
			t.Errorf("ParseTarget(%q) = %+v, %v, want %+v", word, got, err, want)
		}
	}
	if o := nets["unix:@name"]; !o.Abstract() || nets["unix:x:y"].Abstract() || nets["fd:3"].Abstract() {
		t.Error("Abstract is wrong")
	}
}

func TestParseNetRoles(t *testing.T) {
	for word, want := range map[string]Operand{
		":9000":     {Kind: TCP, Network: "tcp", Port: "9000", Listen: true},
		"tcp::9000": {Kind: TCP, Network: "tcp", Port: "9000", Listen: true},
		":0":        {Kind: TCP, Network: "tcp", Port: "0", Listen: true},
		"sd:":       {Kind: SD},
		"sd:web":    {Kind: SD, Name: "web"},
	} {
		want.Text = word
		if got, err := parseNet(word, false); err != nil || got != want {
			t.Errorf("ParseNet(%q) = %+v, %v, want %+v", word, got, err, want)
		}
		if got, err := parseListen(word); err != nil || got != want {
			t.Errorf("ParseListen(%q) = %+v, %v, want %+v", word, got, err, want)
		}
		if got, err := parseTarget(word); err == nil {
			t.Errorf("ParseTarget(%q) = %+v, want an error", word, got)
		}
	}
	if o, err := parseNet("host:0", true); err != nil || !o.Listen {
		t.Errorf("ParseNet(host:0, listen) = %+v, %v", o, err)
	}
	for _, parse := range []func(string) (Operand, error){parseListen, parseTarget} {
		if o, err := parse("-"); err != nil || o != (Operand{Kind: Stdio, Text: "-"}) {
			t.Errorf("- = %+v, %v", o, err)
		}
	}
}

func TestParseNetRefuses(t *testing.T) {
	for word, want := range map[string]string{
		"-":                         "- is stdin or stdout, not a network end: want HOST:PORT, :PORT or unix:PATH",
		"":                          `"": missing port, want HOST:PORT`,
		"host":                      `"host": missing port, want HOST:PORT`,
		"host:":                     `"host:": missing port, want HOST:PORT`,
		"tcp:9000":                  `"tcp:9000": missing host or colon, want HOST:9000 or :9000`,
		"9000":                      `"9000": a port alone is written :9000`,
		"::1":                       `"::1": missing port, want [::1]:PORT`,
		"fe80::1%eth0":              `"fe80::1%eth0": missing port, want [fe80::1%eth0]:PORT`,
		"::1:9000":                  `"::1:9000": an IPv6 address goes in brackets, want [::1]:9000`,
		"fe80::1%e:80":              `"fe80::1%e:80": an IPv6 address goes in brackets, want [fe80::1%e]:80`,
		"[::1]":                     `"[::1]": missing port, want [::1]:PORT`,
		"[::1]80":                   `"[::1]80": missing port, want [::1]:PORT`,
		"[::1]:":                    `"[::1]:": missing port, want HOST:PORT`,
		"[::1":                      `"[::1": missing ], want [V6]:PORT`,
		"[1.2.3.4]:80":              `"[1.2.3.4]:80": "1.2.3.4" is not an IPv6 address, want [V6]:PORT`,
		"[]:80":                     `"[]:80": "" is not an IPv6 address, want [V6]:PORT`,
		"*:80":                      `"*:80": every address is just :80`,
		"http://host:80":            `"http://host:80": zcp speaks no protocol of its own, want HOST:PORT`,
		"a:b:80":                    `"a:b:80": the name of a host cannot hold ':', want HOST:PORT`,
		"a b:80":                    `"a b:80": the name of a host cannot hold ' ', want HOST:PORT`,
		"dir/f:80":                  `"dir/f:80": the name of a host cannot hold '/', want HOST:PORT`,
		"a\x1b[J:80":                `"a\x1b[J:80": the name of a host cannot hold '\x1b', want HOST:PORT`,
		"host:65536":                `"host:65536": port 65536 is not between 1 and 65535`,
		"host:99999999999999999999": `"host:99999999999999999999": port 99999999999999999999 is not between 1 and 65535`,
		"host:0":                    "host:0: port 0 (any that is free) is for listening, not for connecting",
		"host:-1":                   `"host:-1": "-1" is neither a port number nor the name of a service`,
		"host:8o!":                  `"host:8o!": "8o!" is neither a port number nor the name of a service`,
		"host:80 ":                  `"host:80 ": "80 " is neither a port number nor the name of a service`,
		"unix:":                     "\"unix:\": missing name, want unix:PATH or unix:@NAME",
		"unix:@":                    "unix:@: missing name, want unix:PATH or unix:@NAME",
		"fd:x":                      "fd:x: want fd:N with a number from 0 to 2147483647; a file of that name is ./fd:x",
		"host:80\x00":               `"host:80\x00": a name cannot hold a zero byte`,
	} {
		wantError(t, "ParseNet", word, want, second(parseNet(word, false)))
	}
	wantError(t, "ParseTarget", ":80", ":80: the target connects, so it needs a host: localhost:80", second(parseTarget(":80")))
	wantError(t, "ParseTarget", "h:0", "h:0: port 0 (any that is free) is for listening, not for connecting", second(parseTarget("h:0")))
	wantError(t, "ParseTarget", "sd:x", "sd:x: systemd passes sockets that listen, the target connects", second(parseTarget("sd:x")))
}

// TestUnixNameLength asks the kernel how long a path may be, through package
// net, and holds the parser to it.
func TestUnixNameLength(t *testing.T) {
	t.Chdir(t.TempDir())
	longest := strings.Repeat("x", maxUnixName)
	for _, tc := range []struct {
		path string
		fits bool
	}{{longest, true}, {longest + "x", false}} {
		l, err := net.Listen("unix", tc.path)
		if err == nil {
			l.Close()
		}
		if (err == nil) != tc.fits {
			t.Errorf("%d bytes: the kernel says %v", len(tc.path), err)
		}
		if o, err := parseNet("unix:"+tc.path, true); (err == nil) != tc.fits || tc.fits && o.Path != tc.path {
			t.Errorf("%d bytes: %v", len(tc.path), err)
		}
	}
	_, err := parseNet("unix:@"+longest, true)
	if want := "108 bytes are too long for the name of a Unix socket, the maximum is 107"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("abstract: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func wantError(t *testing.T, what, word, want string, err error) {
	t.Helper()
	if err == nil || err.Error() != want || exit.Status(err) != exit.BadUsage {
		t.Errorf("%s(%q): %v, want %s", what, word, err, want)
	}
}

// FuzzOperand holds the parsers to what their callers rely on: an operand has
// exactly the fields of its kind, keeps the user's words, and no message holds
// anything a terminal would act on.
func FuzzOperand(f *testing.F) {
	for word := range nets {
		f.Add(word)
	}
	for _, word := range []string{"", "-", "fd:", "[::1", "::1:80", "a\x00", "\x1b[J", "unix:@", "sd:x", "zero:", "null:", ":0", "tcp:", "\xff:80"} {
		f.Add(word)
	}
	listen := func(word string) (Operand, error) { return parseNet(word, true) }
	connect := func(word string) (Operand, error) { return parseNet(word, false) }
	f.Fuzz(func(t *testing.T, word string) {
		for _, parse := range []func(string) (Operand, error){parseSource, parseDest, connect, listen, parseListen, parseTarget} {
			o, err := parse(word)
			if err != nil {
				if text.Unseen(err.Error()) || exit.Status(err) != exit.BadUsage {
					t.Fatalf("%q: %q", word, err)
				}
				continue
			}
			if o.Text != word || text.Unseen(o.String()) {
				t.Fatalf("%q: %+v", word, o)
			}
			if bad := wrongFields(o); bad != "" {
				t.Fatalf("%q: %s: %+v", word, bad, o)
			}
		}
	})
}

func wrongFields(o Operand) string {
	switch {
	case o.FD < 0 || o.FD != 0 && o.Kind != FD:
		return "FD"
	case (o.Path != "") != (o.Kind == File || o.Kind == Unix && o.Name == ""):
		return "Path"
	case len(o.Path) > maxUnixName && o.Kind == Unix:
		return "Path too long"
	case (o.Port != "") != (o.Kind == TCP) || o.Host != "" && o.Kind != TCP:
		return "Host or Port"
	case o.Kind == TCP && o.Host == "" && !o.Listen:
		return "a host to connect to"
	case o.Name != "" && o.Kind != SD && o.Kind != Unix:
		return "Name"
	case (o.Network != "") != (o.Kind == TCP || o.Kind == Unix):
		return "Network"
	}
	return ""
}
