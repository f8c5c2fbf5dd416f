package conf

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTo(t *testing.T) {
	noEnv := func(string) (string, bool) { return "", false }
	asked, err := Parse([]string{"zcp", "send", "f", "--to", "b:2", ":1", "--to=unix:c", "--drop-slow", "3"}, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	c := asked.(*Send)
	if len(c.To) != 2 || c.To[0].String() != "b:2" || c.To[1].Path != "c" || c.DropSlow != 3*time.Second || !c.Net.Listen {
		t.Errorf("%+v", c)
	}
	if c.Wait != 0 || c.Next.Wait != defaultWait { // who listens waits for ever, who connects does not
		t.Errorf("waits %v and %v", c.Wait, c.Next.Wait)
	}
	asked, err = Parse(strings.Fields("zcp recv :1 f --to b:2 --bind 10.0.0.1 --retry-for 9"), noEnv)
	if r, ok := asked.(*Recv); err != nil || !ok || len(r.To) != 1 || r.Next.RetryFor != 9*time.Second || !r.Next.Bind.IsValid() || r.Next.Wait != defaultWait || r.Wait != 0 {
		t.Errorf("%+v, %v", asked, err)
	}
	for line, want := range map[string]string{
		"recv -k :1 f%d --to b:2":                      "--to and --keep-open cannot be used together",
		"send --resume f a:1 --to b:2":                 "--resume and --to cannot be used together",
		"recv --resume :1 d/ --to b:2":                 "--resume needs the name of a file to write",
		"recv :1 --to b:2":                             "--to needs the name of a file or directory to store in",
		"send f a:1 --to :2":                           "--to: :2 listens, and a further end is connected to: HOST:2",
		"send f a:1 --to -":                            "--to: - is stdin or stdout",
		"send -k f :1 --to b:2":                        "--to and --keep-open cannot be used together",
		"send f a:1 --drop-slow 3":                     "--drop-slow needs --to",
		"send f fd:3 --to fd:3":                        "--to: fd:3 is one connection, and is named twice",
		"send f a:1" + strings.Repeat(" --to b:2", 64): "--to: at most 64 network ends",
		"cat f --to b:2":                               "cat has no --to",
	} {
		_, err := Parse(append([]string{"zcp"}, strings.Fields(line)...), noEnv)
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
	if _, err := Parse(slices.Concat([]string{"zcp"}, strings.Fields("send f a:1"+strings.Repeat(" --to b:2", 63))), noEnv); err != nil {
		t.Error(err)
	}
}
