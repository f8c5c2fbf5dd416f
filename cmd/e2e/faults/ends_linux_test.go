package faults

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// Process 1 of a container ends by a signal too: the kernel drops one that it sends itself, so the
// status stands for it.
func TestSignalsAsProcess1(t *testing.T) {
	program.NeedRoot(t)
	for s, status := range map[syscall.Signal]int{syscall.SIGTERM: 143, syscall.SIGINT: 130, syscall.SIGHUP: 129, syscall.SIGQUIT: 131} {
		t.Run(s.String(), func(t *testing.T) {
			p := program.Zcp(t, "recv", ":0", t.TempDir()+"/out")
			p.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
			p.Start().Port()
			p.Signal(s)
			p.Ends(status)
		})
	}
}

// close(2) tells a quota's late error also for a file that the shell has opened.
func TestLateErrorOfStandardOutput(t *testing.T) {
	program.NeedTool(t, "strace")
	dir := t.TempDir()
	program.WriteFile(t, dir+"/in", program.Noise(300_000, 37), 0o644)
	out, err := os.Create(dir + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := injection{"close", "EDQUOT", "1+"}.zcp(t, "cat", dir+"/in")
	p.Args = append([]string{p.Args[0], "-P", dir + "/out"}, p.Args[1:]...)
	p.Stdout = out
	p.Start()
	if p.End() != 1 || !strings.Contains(p.ErrOut.String(), "disk quota exceeded") {
		t.Errorf("ended with %d: %s", p.Status, p.ErrOut)
	}
}

// A late error of the file behind standard output reaches the sender, too: recv and relay break the connection off,
// and do not end their own direction before, although standard input is empty.
func TestLateErrorReachesTheSender(t *testing.T) {
	program.NeedTool(t, "strace")
	for _, args := range [][]string{{"recv", "-l", "127.0.0.1:0"}, {"relay", "127.0.0.1:0", "-"}} {
		for errno, want := range map[string]int{"EDQUOT": 1, "EIO": 1, "": 0} {
			t.Run(args[0]+" "+errno, func(t *testing.T) {
				dir := t.TempDir()
				program.WriteFile(t, dir+"/in", program.Noise(300_000, 37), 0o644)
				out, err := os.Create(dir + "/out")
				if err != nil {
					t.Fatal(err)
				}
				defer out.Close()
				p := program.Zcp(t, args...)
				if errno != "" {
					p = injection{"close", errno, "1+"}.zcp(t, args...)
					p.Args = append([]string{p.Args[0], "-P", dir + "/out"}, p.Args[1:]...)
				}
				p.Stdout = out
				p.Start()
				s := program.Zcp(t, "send", dir+"/in", "127.0.0.1:"+p.Port()).Start()
				if p.End() != want {
					t.Errorf("ended with %d: %s", p.Status, p.ErrOut)
				}
				s.Ends(3 * want)
				if want == 0 {
					s.Says(program.PlainEnd)
				}
			})
		}
	}
}
