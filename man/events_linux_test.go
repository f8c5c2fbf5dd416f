package man_test

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
	"golang.org/x/sys/unix"
)

// A schema is what zcp(1), JSON EVENTS, says of the events: the members of each, and the
// type of each member.
type schema struct {
	members  map[string][]string // by event, those that are always there
	optional map[string][]string // and those that may be missing
	types    map[string]string   // by member: string, integer, number, boolean

	mu   sync.Mutex
	seen map[string]bool // event, and event.member
}

// readSchema reads the manual.
func readSchema(t *testing.T) *schema {
	s := &schema{members: map[string][]string{}, optional: map[string][]string{}, types: map[string]string{}, seen: map[string]bool{}}
	_, text, _ := strings.Cut(readManual(t), ".Sh JSON EVENTS\n")
	text, _, _ = strings.Cut(text, "\n.Sh ")
	for _, m := range regexp.MustCompile(`(?m)^\.It Va (.*) Pq (string|integer|number|boolean)$`).FindAllStringSubmatch(text, -1) {
		for _, name := range strings.Split(m[1], " , ") {
			s.types[name] = m[2]
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^\.It Cm (\w+) Va (.*)$`).FindAllStringSubmatch(text, -1) {
		s.members[m[1]] = []string{"event", "time"}
		maybe := false
		for _, word := range strings.Fields(m[2]) {
			switch {
			case word == "Oo" || word == "Oc":
				maybe = word == "Oo"
			case word == "Va":
			case maybe:
				s.optional[m[1]] = append(s.optional[m[1]], word)
			default:
				s.members[m[1]] = append(s.members[m[1]], word)
			}
		}
	}
	if len(s.members) < 10 || len(s.types) < 30 {
		t.Fatalf("read only %d events and %d members from the manual", len(s.members), len(s.types))
	}
	return s
}

// check wants each line to be an event as the manual has it, and returns their names.
func (s *schema) check(t testing.TB, lines string) (names []string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(lines) {
		var e map[string]any
		in := json.NewDecoder(strings.NewReader(line))
		in.UseNumber()
		if err := in.Decode(&e); err != nil {
			t.Errorf("%v in %q", err, line)
			continue
		}
		name, _ := e["event"].(string)
		names = append(names, name)
		s.seen[name] = true
		for _, member := range s.members[name] {
			if _, ok := e[member]; !ok {
				t.Errorf("no %s in %s", member, line)
			}
		}
		for member, value := range e {
			s.seen[name+"."+member] = true
			if member != "label" && !slices.Contains(s.members[name], member) && !slices.Contains(s.optional[name], member) {
				t.Errorf("%s has no %s in the manual: %s", name, member, line)
			}
			if got := typeOf(value); got != s.types[member] && !(got == "integer" && s.types[member] == "number") {
				t.Errorf("%s is %s, in the manual %s: %s", member, got, s.types[member], line)
			}
		}
		if text, _ := e["time"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`).MatchString(text) {
			t.Errorf("time is %q", text)
		} else if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			t.Error(err)
		}
	}
	return names
}

func typeOf(value any) string {
	switch v := value.(type) {
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		return "number"
	}
	return "neither a string nor a number nor a boolean"
}

// TestEventSchema runs the commands until every event and every member of the manual was
// seen, and finds in each line what the manual says and nothing else.
func TestEventSchema(t *testing.T) {
	s := readSchema(t)
	t.Run("runs", func(t *testing.T) {
		for name, tc := range map[string]struct {
			ends int // end events
			run  func(t *testing.T) *program.Process
		}{
			"a good end": {1, eventsOfSend}, "resume": {1, eventsOfResume}, "a stall": {1, eventsOfStall}, "relay": {0, eventsOfRelay}, "serve": {0, eventsOfServe}, "several receivers": {1, eventsOfFanout}, "a tree": {1, eventsOfTree},
			"probe": {0, func(t *testing.T) *program.Process {
				return program.Zcp(t, "probe", "--json", program.Target(t, "tcp", func(c net.Conn) { c.Close() })).Run(0)
			}},
			"usage": {0, func(t *testing.T) *program.Process { return program.Zcp(t, "recv", "--json", "-k", ":0", "f").Run(2) }},
			"no such file": {1, func(t *testing.T) *program.Process {
				return program.Zcp(t, "cat", "--json", "-o", "/nowhere/f", "/dev/null").Run(1)
			}},
			"no socket there": {1, func(t *testing.T) *program.Process {
				return program.Zcp(t, "send", "--json", "/dev/null", "unix:"+filepath.Join(t.TempDir(), "s")).Run(1)
			}},
			"no listener": {1, func(t *testing.T) *program.Process {
				return program.Zcp(t, "recv", "--json", "-l", "unix:/nowhere/s").Run(1)
			}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				p := tc.run(t)
				ends := 0
				for _, event := range s.check(t, p.ErrOut.String()) {
					if event == "end" {
						ends++
					}
				}
				if ends != tc.ends {
					t.Errorf("%d end events, want %d, in\n%s", ends, tc.ends, p.ErrOut)
				}
			})
		}
	})
	for event, members := range s.members {
		for _, member := range append(members, s.optional[event]...) {
			if !s.seen[event+"."+member] {
				t.Errorf("the manual has a %s with %s, and none was seen", event, member)
			}
			if s.types[member] == "" {
				t.Errorf("the manual does not say what %s is", member)
			}
		}
	}
}

func eventsOfSend(t *testing.T) *program.Process {
	sock := filepath.Join(t.TempDir(), "s")
	r := program.Zcp(t, "recv", "-q", "--verify", "--hash", "blake3", "-l", "unix:"+sock, "null:").Start()
	p := program.Zcp(t, "send", "--json", "--name", "in", "--verify", "--hash", "blake3", "--explain", "-v", "-i", "0.01", "-L", "1M", "--retry-for", "1m", program.Source(t, strings.Repeat("x", 100_000)), "unix:"+sock).Run(0)
	r.Ends(0)
	for line := range strings.Lines(p.ErrOut.String()) {
		if !strings.Contains(line, `,"label":"in"`) {
			t.Errorf("no label in %s", line)
		}
	}
	return p
}

func eventsOfTree(t *testing.T) *program.Process {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		program.WriteFile(t, filepath.Join(dir, name), program.Noise(100_000, 1), 0o600) // more than is gathered: one goes after the other
	}
	p := program.Zcp(t, "cat", "--json", "-i", "0.01", "-L", "1M", dir+"/")
	p.Stdout = io.Discard
	return p.Run(0)
}

// eventsOfResume breaks the first connection of a receiver.
func eventsOfResume(t *testing.T) *program.Process {
	src, dst := program.Source(t, strings.Repeat("x", 200_000)), filepath.Join(t.TempDir(), "f")
	program.WriteFile(t, dst+".part", []byte("xxx"), 0o644)
	p := program.Zcp(t, "recv", "--json", "-i", "0.01", "-L", "1M", "--resume", "--retry-for", "1m", ":0", dst).Start()
	port := p.Says(`"event":"listening".*"port":(\d+)`)[1]
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	p.Says(`"event":"break"`)
	program.Zcp(t, "send", "-q", "--resume", src, "127.0.0.1:"+port).Run(0)
	return p.Ends(0)
}

// eventsOfStall has a receiver that reads nothing, and ends the sender when it says so.
func eventsOfStall(t *testing.T) *program.Process {
	p := program.Zcp(t, "send", "--json", "-i", "0.05", "zero:", ":0").Start()
	c, err := net.Dial("tcp", "127.0.0.1:"+p.Says(`"event":"listening".*"port":(\d+)`)[1])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Says(`"wait":"stalled \ds, waiting for the receiver"`)
	p.Signal(unix.SIGTERM)
	return p.Ends(143)
}

func eventsOfRelay(t *testing.T) *program.Process {
	p := program.Zcp(t, "relay", "--json", "--name", "front", "--explain", "--deny", "127.0.0.2", "127.0.0.1:0", program.Target(t, "tcp", func(c net.Conn) { _, _ = io.Copy(c, c); c.Close() })).Start()
	port := p.Says(`"event":"listening".*"port":(\d+)`)[1]
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	if c, err := from.Dial("tcp", "127.0.0.1:"+port); err == nil {
		defer c.Close()
	}
	p.Says(`"event":"denied".*"peer":"127.0.0.2:\d+"`)
	c, err := net.Dial("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	program.Write(t, c, []byte("hello"))
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	p.Signal(unix.SIGUSR1)
	p.Says(`"event":"connection"`)
	c.Close()
	p.Says(`"event":"close"`)
	p.Signal(unix.SIGTERM)
	return p.Ends(0)
}

// eventsOfFanout has one receiver that is not there and one that is asked about.
func eventsOfFanout(t *testing.T) *program.Process {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r, w := program.Pipe(t)
	p := program.Zcp(t, "send", "--json", "-", ln.Addr().String(), "--to", "unix:"+filepath.Join(t.TempDir(), "none")).From(r).Start()
	r.Close()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.Says(`"event":"delivery".*"error"`)
	p.Signal(unix.SIGUSR1)
	p.Says(`"event":"target"`)
	w.Close()
	if _, err := io.ReadAll(c); err != nil {
		t.Error(err)
	}
	c.Close()
	return p.Ends(3)
}

func eventsOfServe(t *testing.T) *program.Process {
	p := program.Zcp(t, "send", "--json", "-k", program.Source(t, "hello"), "127.0.0.1:0", "-l").Start()
	port := p.Says(`"event":"listening".*"port":(\d+)`)[1]
	program.Zcp(t, "recv", "-q", "127.0.0.1:"+port, "null:").Run(0)
	p.Says(`"event":"close"`)
	p.Signal(unix.SIGTERM)
	return p.Ends(143)
}

// The events of --json are defined by structs of cmd and the packages below it: each of
// their members is in the manual. [TestEventSchema] compares what the commands really say.
func TestManualEvents(t *testing.T) {
	types, seen := readSchema(t).types, 0
	member := regexp.MustCompile("json:\"([a-z_]+)")
	err := filepath.WalkDir(filepath.Join("..", "cmd"), func(file string, _ os.DirEntry, err error) error {
		if err != nil || filepath.Ext(file) != ".go" || strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := os.ReadFile(file)
		for _, m := range member.FindAllStringSubmatch(string(text), -1) {
			seen++
			if types[m[1]] == "" && !slices.Contains([]string{"connections", "listeners", "targets"}, m[1]) { // these lists are only on the statistics page
				t.Errorf("zcp.1, JSON EVENTS: %s of %s is missing", m[1], file)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if seen < 60 {
		t.Errorf("cmd has only %d members of events", seen)
	}
}
