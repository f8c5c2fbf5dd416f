package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Both ends say the same digest, with -q as well, and recv's line is one that sha256sum -c accepts.
func TestHash(t *testing.T) {
	t.Parallel()
	data := program.Noise(3_000_001, 5)
	for _, alg := range []string{"sha256", "blake3"} {
		program.InModes(t, func(t *testing.T, m program.Mode) {
			dir := t.TempDir()
			dst := filepath.Join(dir, `odd \name`)
			r := m.Zcp(t, "recv", "-q", "--hash", alg, ":0", dst).Start()
			s := m.Zcp(t, "send", "-q", "--hash", alg, program.Source(t, string(data)), "127.0.0.1:"+r.Port()).Run(0)
			r.Ends(0)
			program.Holds(t, dst, data)
			sent := s.Says(`zcp: ` + alg + ` ([0-9a-f]{64})  \S+\n`)[1]
			line := r.Says(`zcp: ` + alg + ` (\\([0-9a-f]{64})  .*\n)`)
			if line[2] != sent {
				t.Errorf("sent %s, received %s", sent, line[2])
			}
			if alg == "blake3" {
				return
			}
			if sent != sha256Of(data) {
				t.Errorf("%s is not the digest of what was sent", sent)
			}
			program.NeedTool(t, "sha256sum")
			program.Command(t, "sha256sum", "-c", "-").From(strings.NewReader(line[1])).Run(0)
		})
	}
}

// The digest of several sources, of standard input, and of a stream is that of all bytes.
func TestHashOfStreams(t *testing.T) {
	a, b := program.Source(t, "one"), program.Source(t, strings.Repeat("two", 100_000))
	want := `zcp: sha256 ` + sha256Of([]byte("one"+strings.Repeat("two", 100_000))) + `  -\n`
	program.Zcp(t, "cat", "--hash=sha256", a, b).Run(0).Says(want)
	p := program.Zcp(t, "cat", "--hash=sha256", "-").From(strings.NewReader("abc")).Run(0)
	p.Says(`zcp: sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  -\n`)
	p = program.Zcp(t, "cat", "--hash=sha256", a, "/nowhere").Run(1)
	if strings.Contains(p.ErrOut.String(), "sha256 ") {
		t.Errorf("a digest of a transfer that failed:\n%s", p.ErrOut)
	}
}

// The digest of a directory is that of the tar stream.
func TestHashOfTree(t *testing.T) {
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "large"), program.Noise(700_001, 3), 0o644)
	program.WriteFile(t, filepath.Join(dir, "small"), []byte("small"), 0o600)
	out := filepath.Join(t.TempDir(), "out.tar")
	p := program.Zcp(t, "cat", "--hash=sha256", "-o", out, dir+"/").Run(0)
	stream, err := os.ReadFile(out)
	if err != nil || len(stream) < 700_000 {
		t.Fatalf("%d bytes, %v", len(stream), err)
	}
	p.Says(`zcp: sha256 ` + sha256Of(stream) + `  -\n`)
}

// What is not expected does not replace DST, and the sender learns of it.
func TestExpect(t *testing.T) {
	for _, good := range []bool{true, false} {
		dst := filepath.Join(t.TempDir(), "out")
		program.WriteFile(t, dst, []byte("old"), 0o644)
		want := sha256Of([]byte("payload"))
		if !good {
			want = sha256Of([]byte("another"))
		}
		r := program.Zcp(t, "recv", "--expect", strings.ToUpper(want), ":0", dst).Start()
		s := program.Zcp(t, "send", program.Source(t, "payload"), "127.0.0.1:"+r.Port()).Start()
		if good {
			r.Ends(0)
			s.Ends(0)
			program.Holds(t, dst, []byte("payload"))
			continue
		}
		r.Ends(4).Says(`out: not what was expected: its sha256 is ` + sha256Of([]byte("payload")) + `; .*out\.part holds 7B`)
		s.Ends(3)
		program.Holds(t, dst, []byte("old"))
		program.Holds(t, dst+".part", []byte("payload"))
	}
	program.Zcp(t, "cat", "--expect", sha256Of([]byte("x")), program.Source(t, "y")).Run(4)
	program.Zcp(t, "cat", "--hash", "blake3", "--expect", "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", program.Source(t, "")).Run(0)
}

func TestProofUsage(t *testing.T) {
	for _, args := range [][]string{
		{"cat", "--hash", "md5"}, {"cat", "--expect", "abc"}, {"cat", "--expect", strings.Repeat("x", 64)},
		{"send", "--expect", strings.Repeat("0", 64), "/dev/null", ":0"}, {"relay", "--hash", "sha256", ":0", "a:1"},
	} {
		program.Zcp(t, args...).Run(2)
	}
}

// Each connection of -k has its digest.
func TestHashServed(t *testing.T) {
	src := program.Source(t, "served")
	p := program.Zcp(t, "send", "-k", "--hash", "sha256", src, ":0").Start()
	port := p.Port()
	for range 2 {
		program.Zcp(t, "recv", "-q", "127.0.0.1:"+port, os.DevNull).Run(0)
	}
	p.Says(`(?s)(` + sha256Of([]byte("served")) + `  ` + regexp.QuoteMeta(src) + `.*){2}`)
}
