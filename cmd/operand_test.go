package cmd

import (
	"net"
	"strings"
	"testing"
)

func TestParseSource(t *testing.T) {
	for text, want := range map[string]Operand{
		"file":             {Kind: File, Path: "file"},
		"./-":              {Kind: File, Path: "./-"},
		"./fd:3":           {Kind: File, Path: "./fd:3"},
		"host:9000":        {Kind: File, Path: "host:9000"}, // the place says that it is a file
		"unix:x":           {Kind: File, Path: "unix:x"},
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
		"/proc/self/fd/":   {Kind: File, Path: "/proc/self/fd/"},
		"/proc/self/fdx/5": {Kind: File, Path: "/proc/self/fdx/5"},
		"zero:":            {Kind: Zero},
		"zero":             {Kind: File, Path: "zero"},
	} {
		want.Text = text
		if got, err := ParseSource(text); err != nil || got != want {
			t.Errorf("ParseSource(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":              "an empty word names no file",
		"a\x00b":        `"a\x00b": a name cannot hold a zero byte`,
		"fd:":           "fd:: want fd:N with a number from 0 to 2147483647; a file of that name is ./fd:",
		"fd:-1":         "fd:-1: want fd:N with a number from 0 to 2147483647; a file of that name is ./fd:-1",
		"fd:2147483648": "fd:2147483648: want fd:N with a number from 0 to 2147483647; a file of that name is ./fd:2147483648",
		"null:":         "null: is a destination, not a source",
	} {
		wantError(t, "ParseSource", text, want, second(ParseSource(text)))
	}
}

func TestParseDest(t *testing.T) {
	for text, want := range map[string]Operand{
		"file":        {Kind: File, Path: "file"},
		"-":           {Kind: FD, FD: 1},
		"/dev/stdout": {Kind: FD, FD: 1},
		"null:":       {Kind: Null},
	} {
		want.Text = text
		if got, err := ParseDest(text); err != nil || got != want {
			t.Errorf("ParseDest(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	wantError(t, "ParseDest", "zero:", "zero: is a source, not a destination", second(ParseDest("zero:")))
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
	for text, want := range nets {
		want.Text = text
		for _, listen := range []bool{false, true} {
			want.Listen = listen && want.Kind != FD
			if got, err := ParseNet(text, listen); err != nil || got != want {
				t.Errorf("ParseNet(%q, %v) = %+v, %v, want %+v", text, listen, got, err, want)
			}
		}
		want.Listen = want.Kind != FD
		if got, err := ParseListen(text); err != nil || got != want {
			t.Errorf("ParseListen(%q) = %+v, %v, want %+v", text, got, err, want)
		}
		want.Listen = false
		if got, err := ParseTarget(text); err != nil || got != want {
			t.Errorf("ParseTarget(%q) = %+v, %v, want %+v", text, got, err, want)
		}
	}
	if o := nets["unix:@name"]; !o.Abstract() || nets["unix:x:y"].Abstract() || nets["fd:3"].Abstract() {
		t.Error("Abstract is wrong")
	}
}

func TestParseNetRoles(t *testing.T) {
	for text, want := range map[string]Operand{
		":9000":     {Kind: TCP, Network: "tcp", Port: "9000", Listen: true},
		"tcp::9000": {Kind: TCP, Network: "tcp", Port: "9000", Listen: true},
		":0":        {Kind: TCP, Network: "tcp", Port: "0", Listen: true},
		"sd:":       {Kind: SD},
		"sd:web":    {Kind: SD, Name: "web"},
	} {
		want.Text = text
		if got, err := ParseNet(text, false); err != nil || got != want {
			t.Errorf("ParseNet(%q) = %+v, %v, want %+v", text, got, err, want)
		}
		if got, err := ParseListen(text); err != nil || got != want {
			t.Errorf("ParseListen(%q) = %+v, %v, want %+v", text, got, err, want)
		}
		if got, err := ParseTarget(text); err == nil {
			t.Errorf("ParseTarget(%q) = %+v, want an error", text, got)
		}
	}
	if o, err := ParseNet("host:0", true); err != nil || !o.Listen {
		t.Errorf("ParseNet(host:0, listen) = %+v, %v", o, err)
	}
	for _, parse := range []func(string) (Operand, error){ParseListen, ParseTarget} {
		if o, err := parse("-"); err != nil || o != (Operand{Kind: Stdio, Text: "-"}) {
			t.Errorf("- = %+v, %v", o, err)
		}
	}
}

func TestParseNetRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"-":                         "- is stdin or stdout, not a network end: want HOST:PORT, :PORT or unix:PATH",
		"":                          `"": missing port, want HOST:PORT`,
		"host":                      `"host": missing port, want HOST:PORT`,
		"host:":                     `"host:": missing port, want HOST:PORT`,
		"tcp:9000":                  `"tcp:9000": missing port, want HOST:PORT`,
		"9000":                      `"9000": missing port, want HOST:PORT`,
		"::1":                       `"::1": missing port, want [::1]:PORT`,
		"fe80::1%eth0":              `"fe80::1%eth0": missing port, want [fe80::1%eth0]:PORT`,
		"::1:9000":                  `"::1:9000": an IPv6 address goes in brackets, want [::1]:9000`,
		"fe80::1%e:80":              `"fe80::1%e:80": an IPv6 address goes in brackets, want [fe80::1%e]:80`,
		"[::1]":                     `"[::1]": missing port, want [::1]:PORT`,
		"[::1]80":                   `"[::1]80": missing port, want [::1]:PORT`,
		"[::1]:":                    `"[::1]:": missing port, want HOST:PORT`,
		"[::1":                      `"[::1": missing ], want [V6]:PORT`,
		"[1.2.3.4]:80":              `"[1.2.3.4]:80": "1.2.3.4" is no IPv6 address, want [V6]:PORT`,
		"[]:80":                     `"[]:80": "" is no IPv6 address, want [V6]:PORT`,
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
		"unix:":                     "unix:: missing name, want unix:PATH or unix:@NAME",
		"unix:@":                    "unix:@: missing name, want unix:PATH or unix:@NAME",
		"fd:x":                      "fd:x: want fd:N with a number from 0 to 2147483647; a file of that name is ./fd:x",
		"host:80\x00":               `"host:80\x00": a name cannot hold a zero byte`,
	} {
		wantError(t, "ParseNet", text, want, second(ParseNet(text, false)))
	}
	wantError(t, "ParseTarget", ":80", ":80: the target connects, so it needs a host: localhost:80", second(ParseTarget(":80")))
	wantError(t, "ParseTarget", "h:0", "h:0: port 0 (any that is free) is for listening, not for connecting", second(ParseTarget("h:0")))
	wantError(t, "ParseTarget", "sd:x", "sd:x: systemd passes sockets that listen, the target connects", second(ParseTarget("sd:x")))
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
		if o, err := ParseNet("unix:"+tc.path, true); (err == nil) != tc.fits || tc.fits && o.Path != tc.path {
			t.Errorf("%d bytes: %v", len(tc.path), err)
		}
	}
	_, err := ParseNet("unix:@"+longest, true)
	if want := "108 bytes are too long for the name of a Unix socket, the most is 107"; err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("abstract: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func wantError(t *testing.T, what, text, want string, err error) {
	t.Helper()
	if err == nil || err.Error() != want || ExitStatus(err) != StatusUsage {
		t.Errorf("%s(%q): %v, want %s", what, text, err, want)
	}
}

func TestQuote(t *testing.T) {
	for name, want := range map[string]string{
		"":                "\"\"",
		"big.iso":         "big.iso",
		"with space":      "with space",
		"a\"b":            "a\"b",
		"\"a\"":           `"\"a\""`,
		"größe 日本":        "größe 日本",
		"a\\b":            "a\\b",
		"a\nb":            `"a\nb"`,
		"a\tb":            `"a\tb"`,
		"\x1b[2J":         `"\x1b[2J"`,
		"a\x7fb":          `"a\x7fb"`,
		"c1\u009b2J":      `"c1\u009b2J"`,
		"\xff\xfe":        `"\xff\xfe"`,
		"gnp\u202exe.txt": `"gnp\u202exe.txt"`,
		"zero\u200bwidth": `"zero\u200bwidth"`,
		"\ufeffbom":       `"\ufeffbom"`,
		"nb\u00a0sp":      `"nb\u00a0sp"`,
		"\ufffd":          "\ufffd",
	} {
		if got := Quote(name); got != want {
			t.Errorf("Quote(%q) = %s, want %s", name, got, want)
		}
		if got := harmless("x " + name); hasUnseen(got) || !hasUnseen(name) && got != "x "+name {
			t.Errorf("harmless(%q) = %q", name, got)
		}
	}
	if got, want := harmless("a\nb\x1b\xff\u202e\"c\""), `a\nb\x1b\xff\u202e"c"`; got != want {
		t.Errorf("harmless = %s, want %s", got, want)
	}
}

// FuzzOperand holds the parsers to what their callers rely on: an operand has
// exactly the fields of its kind, keeps the user's words, and no message holds
// anything a terminal would act on.
func FuzzOperand(f *testing.F) {
	for text := range nets {
		f.Add(text)
	}
	for _, text := range []string{"", "-", "fd:", "[::1", "::1:80", "a\x00", "\x1b[J", "unix:@", "sd:x", "zero:", "null:", ":0", "tcp:", "\xff:80"} {
		f.Add(text)
	}
	listen := func(text string) (Operand, error) { return ParseNet(text, true) }
	connect := func(text string) (Operand, error) { return ParseNet(text, false) }
	f.Fuzz(func(t *testing.T, text string) {
		for _, parse := range []func(string) (Operand, error){ParseSource, ParseDest, connect, listen, ParseListen, ParseTarget} {
			o, err := parse(text)
			if err != nil {
				if hasUnseen(err.Error()) || ExitStatus(err) != StatusUsage {
					t.Fatalf("%q: %q", text, err)
				}
				continue
			}
			if o.Text != text || hasUnseen(o.String()) {
				t.Fatalf("%q: %+v", text, o)
			}
			if bad := wrongFields(o); bad != "" {
				t.Fatalf("%q: %s: %+v", text, bad, o)
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
		return "nobody can connect to no host"
	case o.Name != "" && o.Kind != SD && o.Kind != Unix:
		return "Name"
	case (o.Network != "") != (o.Kind == TCP || o.Kind == Unix):
		return "Network"
	}
	return ""
}
