package e2e

import (
	"fmt"
	"io"
	"net"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

const anyWant = "zcp1 want from=%d key=0123456789abcdef\n"

// healing starts a sender that heals, towards a receiver that the test plays.
func healing(t *testing.T, text string, flags ...string) (p *program.Process, accept func() *net.TCPConn) {
	t.Helper()
	ln, _ := program.Listening(t)
	p = program.Zcp(t, append([]string{"send", "--resume", "--retry-for", "60", program.Source(t, text), ln.Addr().String()}, flags...)...).Start()
	return p, func() *net.TCPConn {
		t.Helper()
		c, err := ln.Accept()
		check(t, err)
		t.Cleanup(func() { c.Close() })
		return c.(*net.TCPConn)
	}
}

// What the kernel of a receiver has acknowledged is not stored: one that does not close is followed by another connection.
func TestHealNotClosed(t *testing.T) {
	const text = "0123456789"
	p, accept := healing(t, text, "--linger", "0.1", "--idle", "0.3")
	c := accept()
	program.Write(t, c, []byte(fmt.Sprintf(anyWant, 0)))
	said, err := io.ReadAll(c)
	check(t, err)
	if want := fmt.Sprintf("zcp1 at from=0 size=%d key=0123456789abcdef\n%s", len(text), text); string(said) != want {
		t.Errorf("it sent %q, want %q", said, want)
	}
	d := accept()
	p.Says(`everything is acknowledged, and the receiver has not closed`)
	program.Write(t, d, []byte(fmt.Sprintf(anyWant, 4)))
	_, err = io.ReadAll(d)
	check(t, err)
	d.Close()
	p.Ends(0).Says(`1 break`)
}

// A receiver that is killed behind its receipt has stored everything; one whose receipt is wrong has not.
func TestHealResetBehindReceipt(t *testing.T) {
	const text = "0123456789"
	for _, right := range []bool{true, false} {
		p, accept := healing(t, text, "--verify")
		sum := sha256Of([]byte(text))
		if !right {
			sum = sha256Of(nil)
		}
		c := accept()
		program.Write(t, c, []byte(fmt.Sprintf(anyWant, 0)))
		_, err := io.ReadAll(c)
		check(t, err)
		program.Write(t, c, []byte(fmt.Sprintf("zcp1 done bytes=%d sha256=%s\n", len(text), sum)))
		program.Reset(t, c)
		if right {
			p.Ends(0).Says(`, verified`)
			continue
		}
		p.Says(`connection reset by peer`)
		accept()
	}
}

// A sender that ends within its first line has died: what it began is not taken for a plain stream.
func TestHealEndInFirstLine(t *testing.T) {
	dst := t.TempDir() + "/out"
	p, c, _, _ := wanting(t, dst, "--retry-for", "60")
	program.Write(t, c, []byte("zcp1 at from=0 si"))
	check(t, c.CloseWrite())
	p.Says(`closed within its first line`)
	c = program.Dial(t, p)
	_, key := readWant(t, c)
	program.Write(t, c, []byte("zcp1 at from=0 size=3 key="+key+"\nabc"))
	check(t, c.CloseWrite())
	p.Ends(0)
	program.Holds(t, dst, []byte("abc"))
}
