package faults

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// Any link of a chain of five is killed at a random moment: the head never ends with 0 unless all have the file, and every
// machine before the break has it complete. ZCP_TEST_KILLS is how often; the seed is in the name of each.
func TestKillLink(t *testing.T) {
	kills := 2
	if program.All() {
		kills = 4
	}
	if n, err := strconv.Atoi(os.Getenv("ZCP_TEST_KILLS")); err == nil {
		kills = n
	}
	content := program.Noise(12<<20, 61)
	for seed := range uint64(kills) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { killLink(t, content, rand.New(rand.NewPCG(seed, 6))) })
	}
}

// A sender that resets before the first line to it is said breaks off, whatever is stored in: the line must not take the
// only word of the reset with it. The next sees no end in order.
func TestChainResetBeforeTheFirstLine(t *testing.T) {
	for _, args := range [][]string{{"out"}, {"out", "--resume"}, {"out/"}} {
		ended := make(chan error, 1)
		next := program.Target(t, "tcp", func(c net.Conn) {
			_, err := io.Copy(io.Discard, c)
			c.Close()
			ended <- err
		})
		dst := filepath.Join(t.TempDir(), args[0])
		if strings.HasSuffix(args[0], "/") {
			dst += "/"
		}
		p := program.Zcp(t, append([]string{"recv", "-l", "127.0.0.1:0", dst, "--to", next}, args[1:]...)...).Start()
		p.Port()
		p.Signal(unix.SIGSTOP)
		c := program.Dial(t, p)
		program.Write(t, c, make([]byte, 10240)) // an empty archive as well, and so whole for each of them
		program.Reset(t, c)
		p.Signal(unix.SIGCONT)
		p.Ends(3).Says(`connection reset by peer`)
		program.Absent(t, filepath.Clean(dst))
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%v: the next saw an end in order", args)
			}
		default: // it was never connected to
		}
	}
}

func killLink(t *testing.T, content []byte, rnd *rand.Rand) {
	const links = 5
	var rs [links]*program.Process
	var files [links]string
	addr := ""
	for i := links - 1; i >= 0; i-- {
		files[i] = filepath.Join(t.TempDir(), "out")
		args := []string{"recv", "-q", ":0", files[i]}
		if addr != "" {
			args = append(args, "--to", addr)
		}
		rs[i] = program.Zcp(t, args...).Start()
		addr = "127.0.0.1:" + rs[i].Port()
	}
	r, w := program.Pipe(t)
	head := program.Zcp(t, "send", "-q", "-", addr).From(r).Start()
	r.Close()
	victim, at := rnd.IntN(links), rnd.IntN(len(content)+len(content)/4)
	whole := at >= len(content) // then it is killed somewhere at the end
	at = min(at, len(content))
	program.Write(t, w, content[:at])
	if whole {
		w.Close()
	} else {
		name := files[0] + ".part"
		program.WaitFor(t, "the first bytes", func() bool {
			fi, err := os.Stat(name)
			return err == nil && fi.Size() > 0 || at == 0
		})
	}
	rs[victim].Kill(unix.SIGKILL)
	if !whole {
		_, _ = w.Write(content[at:]) // the first link may have been the one
		w.Close()
	}
	status := head.End()
	have := 0
	for i := range rs {
		if i > victim && status != 0 { // nothing may ever have connected to it
			rs[i].Kill(unix.SIGKILL)
		}
		rs[i].End()
		if b, err := os.ReadFile(files[i]); err == nil && string(b) == string(content) {
			have++
		} else if i < victim {
			t.Errorf("link %d of %d, before the break at %d after %d bytes, has no complete file: %v\n%s", i, links, victim, at, err, rs[i].ErrOut)
		}
	}
	if status == 0 && have < links || status != 0 && !whole && status != 3 {
		t.Errorf("link %d killed after %d bytes: the head ended with %d, and %d of %d have the file", victim, at, status, have, links)
	}
}
