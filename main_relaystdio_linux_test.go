package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Standard input and output as one end: files, a pipe, /dev/null, one socket on both.
func TestRelayStdio(t *testing.T) {
	addr := target(t, "tcp", late)
	request := bytes.Repeat([]byte("hello "), 100000)
	t.Run("files", func(t *testing.T) {
		in, err := os.Open(source(t, string(request)))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		out, err := os.Create(source(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		p := zcp(t, "relay", "-", addr).from(in)
		p.Stdout = out
		p.run(0)
		holds(t, out.Name(), bytes.ToUpper(request))
	})
	t.Run("pipes", func(t *testing.T) {
		p := zcp(t, "relay", "-", addr).from(bytes.NewReader(request)).run(0)
		if p.out.String() != string(bytes.ToUpper(request)) {
			t.Errorf("got %d bytes", len(p.out.String()))
		}
	})
	t.Run("nothing", func(t *testing.T) {
		if p := zcp(t, "relay", "-", addr).run(0); p.out.String() != "" {
			t.Errorf("got %q", p.out)
		}
	})
	t.Run("socket", func(t *testing.T) {
		ours, theirs := unixPair(t)
		p := zcp(t, "relay", "-", addr).from(theirs)
		p.Stdout = theirs
		p.start()
		theirs.Close()
		c, err := net.FileConn(ours)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		write(t, c, request)
		if err := c.(*net.UnixConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); !bytes.Equal(b, bytes.ToUpper(request)) || err != nil {
			t.Errorf("got %d bytes, %v", len(b), err)
		}
		p.ends(0)
	})
}

// A file on standard input is guarded until the answer is complete: a writer is let in while
// the peer still answers, and that what was sent may be a mixture is exit status 6.
func TestRelayStdioSourceChanges(t *testing.T) {
	silent := make(chan net.Conn, 10)
	addr := target(t, "tcp", func(c net.Conn) { silent <- c })
	for _, text := range []string{"", "new"} {
		name := source(t, "request")
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		p := zcp(t, "relay", "-", addr).from(in).start()
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
		write(t, c, []byte("answer"))
		c.Close()
		if status := p.end(); (status == 6) != (text != "") || status != 0 && status != 6 || p.out.String() != "answer" {
			t.Errorf("wrote %q: ended with %d, got %q\n%s", text, status, p.out, p.err)
		}
	}
}

// How - ends when it does not end well: with the status that send and recv would have.
func TestRelayStdioEndings(t *testing.T) {
	silent := make(chan net.Conn, 10)
	addr := target(t, "tcp", func(c net.Conn) { silent <- c })
	t.Run("reset", func(t *testing.T) {
		in, w := io.Pipe()
		defer w.Close()
		p := zcp(t, "relay", "-", addr).from(in).start()
		c := <-silent
		write(t, c, []byte("x"))
		p.out.await("x")
		reset(t, c.(*net.TCPConn))
		w.Close()
		p.ends(3)
	})
	t.Run("reset after its end", func(t *testing.T) {
		in, w := io.Pipe() // nothing comes from it that would meet the reset
		defer w.Close()
		r, out := pipe(t)
		p := zcp(t, "relay", "-", addr).from(in)
		p.Stdout = out
		p.start()
		out.Close()
		c := <-silent
		write(t, c, []byte("x"))
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(r); string(b) != "x" || err != nil {
			t.Errorf("got %q, %v", b, err)
		}
		reset(t, c.(*net.TCPConn))
		p.says("connection reset by peer")
		w.Close() // the copying goroutine of package exec
		p.ends(3)
	})
	t.Run("a Unix peer hangs up", func(t *testing.T) {
		in, w := io.Pipe()
		defer w.Close()
		p := zcp(t, "relay", "-v", "-", target(t, "unix", func(c net.Conn) { _, _ = c.Write([]byte("bye")); c.Close() })).from(in).start()
		p.says("up 0B, down 3B .*ended")
		w.Close()
		p.ends(0)
	})
	t.Run("a Unix peer hangs up on the way", func(t *testing.T) {
		in, err := os.Open("/dev/zero")
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		addr := target(t, "unix", func(c net.Conn) { _, _ = io.CopyN(io.Discard, c, 1<<20); c.Close() })
		zcp(t, "relay", "-", addr).from(in).run(3).says("connection reset by peer")
	})
	t.Run("idle", func(t *testing.T) {
		in, w := io.Pipe() // an end of our own would be passed on
		defer w.Close()
		p := zcp(t, "relay", "--idle", "100ms", "-", addr).from(in).start()
		c := <-silent
		wantReset(t, c)
		w.Close()
		p.ends(5)
	})
	t.Run("reader gone", func(t *testing.T) {
		r, w := pipe(t)
		in, _ := pipe(t)
		p := zcp(t, "relay", "-", addr).from(in)
		p.Stdout = w
		p.start()
		w.Close()
		in.Close()
		c := <-silent
		r.Close()
		wantReset(t, c)
		p.ends(128 + int(unix.SIGPIPE))
	})
	t.Run("no space", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer full.Close()
		in, w := io.Pipe()
		defer w.Close()
		p := zcp(t, "relay", "-", addr).from(in)
		p.Stdout = full
		p.start()
		c := <-silent
		write(t, c, []byte("hello"))
		wantReset(t, c)
		w.Close()
		p.ends(1).says("standard output: no space left on device")
	})
}
