package show

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
)

// writes records each write by itself: what is one write cannot be torn apart
// by another process that writes to the same terminal.
type writes struct {
	mu   sync.Mutex
	list []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, string(p))
	return len(p), nil
}

func (w *writes) String() string { return strings.Join(w.list, "") }

// paper is a screen on which any goroutine may draw.
type paper struct {
	width         int
	erasing, gone bool
}

func (s paper) columns() int   { return s.width }
func (s paper) drawable() bool { return !s.gone }
func (s paper) erases() bool   { return s.erasing }

func noon() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.FixedZone("", 3600)) }

// samples are one of each event, with a name from hell where there is a name.
func samples() []Event {
	return []Event{
		&Listening{Addr: "[::]:9000", Port: 9000},
		&Listening{Addr: "[::]:40123", Port: 40123, Picked: true},
		&Start{Src: "a\x1b[2J", Dst: "host:9000", From: `"a\x1b[2J"`, Into: "host:9000", Path: "sendfile", Addr: "10.0.0.2:9000", Port: 9000},
		&Progressed{Counts: countsOf(Snapshot{Bytes: 10, Acked: 5}, time.Second, 10), Size: -1},
		Done("sent", Snapshot{Bytes: 4316398879, Acked: 4316398879}, 8800*time.Millisecond),
		&Note{Message: "a note"},
		&Note{Message: "a detail", To: ForVerbose},
		&Open{ID: 1, Peer: "10.0.0.1:5", Target: "db:5432"},
		&Close{ID: 1, Peer: "10.0.0.1:5", Target: "db:5432", UpBytes: 1024, DownBytes: 2048, Seconds: 1.5, Reason: "both ended", Ending: EndedWell},
		&Explained{When: "plan", Text: "file to socket: sendfile"},
		&Trouble{Error: "a\x1b[2J to host:9000: connection reset by peer after 1.20GiB", Hint: "try again", Status: 3},
	}
}

func TestPrinterText(t *testing.T) {
	const (
		picked = "zcp: listening on [::]:40123\n"
		fault  = "zcp: a\\x1b[2J to host:9000: connection reset by peer after 1.20GiB\nzcp: try again\n"
		some   = "zcp: listening on [::]:9000\n" + picked
		end    = "zcp: sent 4,316,398,879 bytes (4.02GiB) in 8.8s (468MiB/s)\nzcp: a note\n"
		plan   = "zcp: plan: file to socket: sendfile\n"
	)
	for _, tc := range []struct {
		name string
		p    *Printer
		want string
	}{
		{"plain", &Printer{}, some + end + plan + fault},
		{"quiet", &Printer{Options: Options{Quiet: true}}, picked + fault},
		{"verbose", &Printer{Options: Options{Verbose: true}}, some + `zcp: "a\x1b[2J" to host:9000 by sendfile (10.0.0.2:9000)` + "\n" + end +
			"zcp: a detail\nzcp: #1 10.0.0.1:5 to db:5432\nzcp: #1 10.0.0.1:5 to db:5432: up 1.00KiB, down 2.00KiB in 1.5s: both ended\n" + plan + fault},
	} {
		var w writes
		tc.p.W = &w
		for _, e := range samples() {
			tc.p.Emit(e)
		}
		if got := w.String(); got != tc.want {
			t.Errorf("%s:\n got %q\nwant %q", tc.name, got, tc.want)
		}
		for _, one := range w.list {
			if !strings.HasSuffix(one, "\n") {
				t.Errorf("%s: a message in more than one write: %q", tc.name, w.list)
			}
		}
	}
}

// TestPrinterJSON holds every event to the contract: one flat object a line,
// with event and time, numbers as numbers, nothing a terminal would act on.
func TestPrinterJSON(t *testing.T) {
	want := []string{
		`{"event":"listening","time":"2026-11-22T11:00:00.123456Z","addr":"[::]:9000","port":9000}`,
		`{"event":"listening","time":"2026-11-22T11:00:00.123456Z","addr":"[::]:40123","port":40123}`,
		`{"event":"start","time":"2026-11-22T11:00:00.123456Z","src":"a\u001b[2J","dst":"host:9000","path":"sendfile","addr":"10.0.0.2:9000","port":9000}`,
		`{"event":"progress","time":"2026-11-22T11:00:00.123456Z","bytes":10,"acked":5,"seconds":1,"rate":10,"size":-1}`,
		`{"event":"end","time":"2026-11-22T11:00:00.123456Z","bytes":4316398879,"acked":4316398879,"seconds":8.8,"rate":490499873,"calls":0,"fallbacks":0,"status":0}`,
		`{"event":"note","time":"2026-11-22T11:00:00.123456Z","message":"a note"}`,
		`{"event":"open","time":"2026-11-22T11:00:00.123456Z","id":1,"peer":"10.0.0.1:5","target":"db:5432"}`,
		`{"event":"close","time":"2026-11-22T11:00:00.123456Z","id":1,"peer":"10.0.0.1:5","target":"db:5432","up_bytes":1024,"down_bytes":2048,"seconds":1.5,"reason":"both ended","ending":"ended"}`,
		`{"event":"explain","time":"2026-11-22T11:00:00.123456Z","when":"plan","text":"file to socket: sendfile"}`,
		`{"event":"error","time":"2026-11-22T11:00:00.123456Z","error":"a\u001b[2J to host:9000: connection reset by peer after 1.20GiB","hint":"try again","status":3}`,
	}
	var w writes
	p := Printer{W: &w, Options: Options{JSON: true}, now: noon}
	for _, e := range samples() {
		p.Emit(e)
	}
	if got := w.String(); got != strings.Join(want, "\n")+"\n" {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	for _, line := range w.list {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil || object["event"] == "" || object["time"] == "" {
			t.Errorf("%q: %v", line, err)
		}
		for key, value := range object {
			switch value.(type) {
			case map[string]any, []any:
				t.Errorf("%s is not flat in %s", key, line)
			}
		}
	}
}

func TestJSONEscapes(t *testing.T) {
	for in, want := range map[string]string{
		"<&>":              "<&>",
		"a\x7f":            "a\\u007f",
		"\u009b2J":         "\\u009b2J",
		"\u202egnp":        "\\u202egnp",
		"\U000e0001tag":    "\\udb40\\udc01tag",
		"\xff":             "\\ufffd",
		"größe\n\x00\"\\ ": "größe\\n\\u0000\\\"\\\\ ",
	} {
		var w writes
		(&Printer{W: &w, Options: Options{JSON: true}, now: noon}).Emit(&Note{Message: in})
		if got := w.String(); !strings.Contains(got, `"message":"`+want+`"}`) {
			t.Errorf("%q: %s", in, got)
		}
		var back Note
		if err := json.Unmarshal([]byte(w.String()), &back); err != nil || in != "\xff" && back.Message != in {
			t.Errorf("%q came back as %q, %v", in, back.Message, err)
		}
	}
	if c := countsOf(Snapshot{Bytes: 1, Acked: 1}, time.Second, math.NaN()); c.Rate != 0 {
		t.Errorf("a rate that is not a number: %v", c)
	}
	if c := countsOf(Snapshot{Bytes: 1, Acked: 1}, 0, math.Inf(1)); c.Rate != 0 {
		t.Errorf("an infinite rate: %v", c)
	}
}

// TestPrinterRow: no line shares its row with the progress line, whatever comes
// in between, and each is still one write.
func TestPrinterRow(t *testing.T) {
	var w writes
	p := Printer{W: &w}
	p.draw("50% [==>  ]", paper{erasing: true})
	p.Say("hello")
	p.Say("again")
	p.draw("60% [===> ]", paper{erasing: true})
	p.Error(errors.New("broken"))
	p.clear()
	want := []string{"50% [==>  ]\x1b[J\r", "\r\x1b[Jzcp: hello\n", "zcp: again\n", "60% [===> ]\x1b[J\r", "\r\x1b[Jzcp: broken\n"}
	if fmt.Sprintf("%q", w.list) != fmt.Sprintf("%q", want) {
		t.Errorf("terminal:\n got %q\nwant %q", w.list, want)
	}

	w.list = nil
	p.draw("longer", paper{})
	p.draw("short", paper{})
	p.number(42)
	p.draw("last\x1b", paper{})
	p.clear()
	p.clear()
	want = []string{"\rlonger", "\rshort ", "\r     \r42\n", "\rlast\\x1b", "\r        \r"}
	if fmt.Sprintf("%q", w.list) != fmt.Sprintf("%q", want) {
		t.Errorf("no terminal:\n got %q\nwant %q", w.list, want)
	}
}

// TestPrinterBackground: what another program has written over is not erased, nor drawn on.
func TestPrinterBackground(t *testing.T) {
	var w writes
	p := Printer{W: &w}
	taken := &paper{erasing: true}
	p.draw("50%", taken)
	taken.gone = true
	p.draw("55%", taken)
	p.Say("hello")
	p.draw("60%", paper{erasing: true})
	p.forget()
	p.clear()
	p.Say("again")
	want := []string{"50%\x1b[J\r", "zcp: hello\n", "60%\x1b[J\r", "zcp: again\n"}
	if fmt.Sprintf("%q", w.list) != fmt.Sprintf("%q", want) {
		t.Errorf(" got %q\nwant %q", w.list, want)
	}
}

func TestPrinterNothing(t *testing.T) {
	var w writes
	p := Printer{W: &w}
	p.Error(nil)
	p.Error(&exit.Usage{})
	p.clear()
	if len(w.list) != 0 {
		t.Errorf("%q", w.list)
	}
}

func TestEndText(t *testing.T) {
	for _, tc := range []struct {
		e    Event
		want string
	}{
		{&End{Moved: Moved{Verb: "sent", What: "big.iso", Took: 8800 * time.Millisecond, Where: "to host:9000 (10.0.0.2)"}, Counts: Counts{Bytes: 4316398879}},
			"sent big.iso, 4,316,398,879 bytes (4.02GiB), to host:9000 (10.0.0.2) in 8.8s (468MiB/s)"},
		{&End{Moved: Moved{Verb: "sent", Took: time.Second}, Counts: Counts{Bytes: 1}, Note: "acknowledged; the peer kept its side open"},
			"sent 1 byte in 1.0s (1B/s), acknowledged; the peer kept its side open"},
		{&End{Moved: Moved{Verb: "received", Took: time.Microsecond, Where: "from [::1]:9000"}, Later: 999 * time.Millisecond},
			"received 0 bytes, from [::1]:9000 in less than 1ms"},
		{&End{Moved: Moved{Verb: "received", What: "f", Took: time.Second}, Counts: Counts{Bytes: 1024}, Later: 8 * time.Second},
			"received f, 1,024 bytes (1.00KiB), in 1.0s (1.00KiB/s); the sender closed 8.0s later"},
		{&End{Moved: Moved{Verb: "sent"}, Error: "reset"}, ""},
		{&Served{Moved: Moved{Verb: "received", What: "in-4", Took: time.Second, Where: "from [::1]:54434"}, Close: Close{UpBytes: 9}, Fine: true},
			"received in-4, 9 bytes, from [::1]:54434 in 1.0s (9B/s)"},
		{&Served{Moved: Moved{Verb: "sent"}}, ""},
	} {
		if _, got, _ := tc.e.line(); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
}

// TestPrinterTogether lets many write at once; the race detector watches, and
// no line may be torn.
func TestPrinterTogether(t *testing.T) {
	var b bytes.Buffer // not safe by itself: the Printer's lock has to do
	p := Printer{W: &b, Options: Options{Verbose: true}}
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for range 50 {
				p.Say("from %d", i)
				p.draw("bar", paper{erasing: true})
				p.Detail("more from %d", i)
				p.clear()
			}
		})
	}
	all.Wait()
	if n := strings.Count(b.String(), "zcp: "); n != 400 {
		t.Errorf("%d lines, want 400", n)
	}
	for _, line := range strings.SplitAfter(b.String(), "\n") {
		line = strings.ReplaceAll(strings.ReplaceAll(line, "bar\x1b[J\r", ""), "\r\x1b[J", "")
		if line != "" && !strings.HasPrefix(line, "zcp: ") {
			t.Fatalf("torn: %q", line)
		}
	}
}

func BenchmarkEmitText(b *testing.B) {
	p := Printer{W: brokenWriter{}}
	for b.Loop() {
		p.Emit(&Close{ID: 1, Peer: "10.0.0.1:5", Target: "db:5432", UpBytes: 1024, DownBytes: 2048, Seconds: 1.5, Reason: "both ended"})
	}
}

// brokenWriter is a stderr that cannot be written to.
type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

// With Bits the rate of what has ended is in bits, as those of the line were.
func TestPrinterBits(t *testing.T) {
	var w writes
	p := &Printer{W: &w, Options: Options{Bits: true}}
	p.Emit(Done("copied", Snapshot{Bytes: 5_000_000}, 2*time.Second))
	p.Emit(&Row{UpRate: 2_500_000})
	if got := w.String(); strings.Count(got, "20.0Mbit/s") != 2 || strings.Contains(got, "iB/s") {
		t.Errorf("%q", got)
	}
}
