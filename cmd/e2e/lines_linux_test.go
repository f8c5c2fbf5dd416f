package e2e

import (
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// The last line names the file, the exact bytes and the peer in the words of the user; recv's time does not
// count what the sender takes to close.
func TestLastLine(t *testing.T) {
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "in"), program.Noise(1_500_000, 9), 0o644)
	r := program.Zcp(t, "recv", ":0", "out")
	r.Dir = dir
	port := r.Start().Port()
	s := program.Zcp(t, "send", "in", "localhost:"+port)
	s.Dir = dir
	s.Run(0).Says(`(?m)^zcp: sent in, 1,500,000 bytes \(1\.43MiB\), to localhost:` + port + ` \(\S+\) in \S+( \(\S+/s\))?$`)
	r.Ends(0).Says(`(?m)^zcp: received out, 1,500,000 bytes \(1\.43MiB\), from \S+:\d+ in \S+( \(\S+/s\))?$`)

	s = program.Zcp(t, "send", "-", "127.0.0.1:"+startRecv(t)).From(nil)
	s.Run(0).Says(`(?m)^zcp: sent stdin, 0 bytes, to 127\.0\.0\.1:\d+ in `)

	r = program.Zcp(t, "recv", ":0").Start()
	c := program.Dial(t, r)
	program.Write(t, c, []byte("hello"))
	if r.Out.Await("hello") == nil {
		t.Fatal("it never arrived")
	}
	time.Sleep(1100 * time.Millisecond) // the peer that is late
	c.Close()
	r.Ends(0)
	late := regexp.MustCompile(`received 5 bytes, from \S+ in (\S+|less than 1ms)( \(\S+/s\))?; the sender closed \S+ later\n`)
	if !late.MatchString(r.ErrOut.String()) {
		t.Errorf("said %q", r.ErrOut)
	}
}

func startRecv(t *testing.T) (port string) {
	t.Helper()
	return program.Zcp(t, "recv", ":0", "null:").Start().Port()
}
