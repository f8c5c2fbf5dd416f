package show

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

// TestToJournal: only the stream that systemd opened is the journal.
func TestToJournal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fi, err := w.Stat()
	if err != nil {
		t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	for stream, want := range map[string]bool{
		fmt.Sprintf("%d:%d", st.Dev, st.Ino): true, fmt.Sprintf("%d:%d", st.Dev, st.Ino+1): false, "": false, "x": false,
	} {
		if got := ToJournal(w, stream); got != want {
			t.Errorf("JOURNAL_STREAM=%s: %v", stream, got)
		}
	}
}

// TestPriorities: errors and what a client met have their level, in both forms and on each line.
func TestPriorities(t *testing.T) {
	for _, json := range []bool{false, true} {
		var b bytes.Buffer
		p := &Printer{W: &b, Journal: true}
		p.JSON = json
		p.Error(errors.New("e"))
		p.Emit(&Unreachable{Text: "u"})
		p.Say("n")
		var levels string
		for line := range bytes.Lines(b.Bytes()) {
			levels += string(line[:1])
			if line[0] == '<' {
				levels += string(line[1:2])
			}
		}
		if want := map[bool]string{false: "<3<4z", true: "<3<4{"}[json]; levels != want {
			t.Errorf("json %v: %q in\n%s", json, levels, b.String())
		}
	}
}
