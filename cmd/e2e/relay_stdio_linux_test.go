package e2e

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// Standard input and output as one end: files, a pipe, /dev/null, one socket on both.
func TestRelayStdio(t *testing.T) {
	addr := program.Target(t, "tcp", late)
	request := bytes.Repeat([]byte("hello "), 100000)
	t.Run("files", func(t *testing.T) {
		in, err := os.Open(program.Source(t, string(request)))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := os.Create(program.Source(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		p := program.Zcp(t, "relay", "-", addr).From(in)
		p.Stdout = out
		p.Run(0)
		program.Holds(t, out.Name(), bytes.ToUpper(request))
	})
	t.Run("pipes", func(t *testing.T) {
		p := program.Zcp(t, "relay", "-", addr).From(bytes.NewReader(request)).Run(0)
		if p.Out.String() != string(bytes.ToUpper(request)) {
			t.Errorf("got %d bytes", len(p.Out.String()))
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if p := program.Zcp(t, "relay", "-", addr).Run(0); p.Out.String() != "" {
			t.Errorf("got %q", p.Out)
		}
	})
	t.Run("socket", func(t *testing.T) {
		ours, theirs := unixPair(t)
		p := program.Zcp(t, "relay", "-", addr).From(theirs)
		p.Stdout = theirs
		p.Start()
		theirs.Close()
		c, err := net.FileConn(ours)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		program.Write(t, c, request)
		if err := c.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); !bytes.Equal(b, bytes.ToUpper(request)) || err != nil {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
		p.Ends(0)
	})
}

// A file on standard input is guarded until the answer is complete: a writer is let in while
// the peer still answers, and that what was sent may be a mixture is exit status 6.
func TestRelayStdioSourceChanges(t *testing.T) {
	silent := make(chan net.Conn, 10)
	addr := program.Target(t, "tcp", func(c net.Conn) { silent <- c })
	for _, text := range []string{"", "new"} {
		name := program.Source(t, "request")
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		p := program.Zcp(t, "relay", "-", addr).From(in).Start()
		c := <-silent
		if b, err := io.ReadAll(c); string(b) != "request" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		began := time.Now()
		if err := writeAt(name, 0, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 5*time.Second { // the kernel lets a writer in after 45 s
			t.Errorf("the writer waited %v", took)
		}
		program.Write(t, c, []byte("answer"))
		c.Close()
		if status := p.End(); (status == 6) != (text != "") || status != 0 && status != 6 || p.Out.String() != "answer" {
			t.Errorf("wrote %q: ended with %d, got %q\n%s", text, status, p.Out, p.ErrOut)
		}
	}
}

// How - ends when it does not end well: with the status that send and recv would have.
func TestRelayStdioEndings(t *testing.T) {
	silent := make(chan net.Conn, 10)
	addr := program.Target(t, "tcp", func(c net.Conn) { silent <- c })
	t.Run("reset", func(t *testing.T) {
		in, w := io.Pipe()
		defer w.Close()
		p := program.Zcp(t, "relay", "-", addr).From(in).Start()
		c := <-silent
		program.Write(t, c, []byte("x"))
		p.Out.Await("x")
		program.Reset(t, c.(*net.TCPConn))
		w.Close()
		p.Ends(3)
	})
	t.Run("reset after its end", func(t *testing.T) {
		in, w := io.Pipe() // nothing comes from it that would meet the reset
		defer w.Close()
		r, out := program.Pipe(t)
		p := program.Zcp(t, "relay", "-", addr).From(in)
		p.Stdout = out
		p.Start()
		out.Close()
		c := <-silent
		program.Write(t, c, []byte("x"))
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); string(b) != "x" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		program.Reset(t, c.(*net.TCPConn))
		p.Says("connection reset by peer")
		w.Close() // the copying goroutine of package exec
		p.Ends(3)
	})
	t.Run("a Unix peer hangs up", func(t *testing.T) {
		in, w := io.Pipe()
		defer w.Close()
		p := program.Zcp(t, "relay", "-v", "-", program.Target(t, "unix", func(c net.Conn) { _, _ = c.Write([]byte("bye")); c.Close() })).From(in).Start()
		p.Says("up 0B, down 3B .*ended")
		w.Close()
		p.Ends(0)
	})
	t.Run("a Unix peer hangs up on the way", func(t *testing.T) {
		in, err := os.Open("/dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		addr := program.Target(t, "unix", func(c net.Conn) { _, _ = io.CopyN(io.Discard, c, 1<<20); c.Close() })
		program.Zcp(t, "relay", "-", addr).From(in).Run(3).Says("connection reset by peer")
	})
	t.Run("idle", func(t *testing.T) {
		in, w := io.Pipe() // an end of our own would be passed on
		defer w.Close()
		p := program.Zcp(t, "relay", "--idle", "100ms", "-", addr).From(in).Start()
		c := <-silent
		program.WantReset(t, c)
		w.Close()
		p.Ends(5)
	})
	t.Run("reader gone", func(t *testing.T) {
		r, w := program.Pipe(t)
		in, _ := program.Pipe(t)
		p := program.Zcp(t, "relay", "-", addr).From(in)
		p.Stdout = w
		p.Start()
		w.Close()
		in.Close()
		c := <-silent
		r.Close()
		program.WantReset(t, c)
		p.Ends(128 + int(unix.SIGPIPE))
	})
	t.Run("no space", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		in, w := io.Pipe()
		defer w.Close()
		p := program.Zcp(t, "relay", "-", addr).From(in)
		p.Stdout = full
		p.Start()
		c := <-silent
		program.Write(t, c, []byte("hello"))
		program.WantReset(t, c)
		w.Close()
		p.Ends(1).Says("standard output: no space left on device")
	})
}
