package conf

import (
	"slices"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// fields splits a command line at spaces; ” is the empty word.
func fields(line string) []string {
	words := strings.Fields(line)
	for i := range words {
		if words[i] == "''" {
			words[i] = ""
		}
	}
	return words
}

func TestRewrite(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"", ""},
		{"-v", "--version"}, // of no command
		{"-vv", ""},
		{"version", "--version"},
		{"send", "send"},
		{"send file host:9000 -q", "send --quiet -- file host:9000"},
		{"send -q file host:9000", "send --quiet -- file host:9000"},
		{"-q send file host:9000", "send --quiet -- file host:9000"},
		{"-L 5M -q send file host:9000", "send --rate-limit=5M --quiet -- file host:9000"},
		{"send file -qL5M host:1", "send --quiet --rate-limit=5M -- file host:1"},
		{"send file -qL 5M host:1", "send --quiet --rate-limit=5M -- file host:1"},
		{"send -L=5M a b", "send --rate-limit=5M -- a b"},
		{"send a --rate-limit=5M b", "send --rate-limit=5M -- a b"},
		{"send a --rate-limit 5M b", "send --rate-limit=5M -- a b"},
		{"send a -L -5M b", "send --rate-limit=-5M -- a b"},
		{"send a --rate-limit= b", "send --rate-limit= -- a b"},
		{"cat -o -- -- -o", "cat --output=-- -- -o"},
		{"cat -o '' ''", "cat --output= -- "},
		{"cat -o --quiet a", "cat --output=--quiet -- a"},
		{"cat -oq", "cat --output=q"},
		{"send -- -q host:1", "send -- -q host:1"},
		{"send -- -- host:1", "send -- -- host:1"},
		{"-- send a b", "send -- a b"},
		{"send - host:1", "send -- - host:1"},
		{"send -46N a b", "send -4 -6 -N -- a b"},
		{"send -q --quiet -q a b", "send --quiet --quiet --quiet -- a b"},
		{"send --quiet=false -v=0 a b", "send --quiet=false --verbose=0 -- a b"},
		{"send help h", "send -- help h"},
		{"send send send", "send -- send send"},
		{"send -h", "send --help"},
		{"send a b -h", "send --help"},
		{"send -qh a", "send --help"},
		{"send --zzzz --help", "send --help"},
		{"-h send", "send --help"},
		{"help send", "send --help"},
		{"help", "--help"},
		{"help help", "--help"},
		{"--help", "--help"},
		{"--zzzz -h", "--help"},
		{"recv -w -h send --help", "recv --help"},
		{"--version", "--version"},
		{"-V", "--version"},
		{"recv --version -q", "--version"},
		{"--version --help", "--help"},
		{"completion bash", "completion -- bash"},
	} {
		got, err := rewrite(append([]string{"zcp"}, fields(tc.in)...), newTable(new(values)))
		if err != nil || strings.Join(got, " ") != strings.TrimRight("zcp "+tc.want, " ")+strings.Repeat(" ", strings.Count(tc.in, " ''")/2) {
			t.Errorf("rewrite %q = %q, %v, want %q", tc.in, got, err, tc.want)
		}
	}
	if got, err := rewrite(nil, newTable(new(values))); err != nil || !slices.Equal(got, []string{"zcp"}) {
		t.Errorf("rewrite(nil) = %q, %v", got, err)
	}
}

func TestRewriteRefuses(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{"send f h:1 --quite", "unknown flag --quite, did you mean --quiet?"},
		{"send f h:1 --rate=5", "unknown flag --rate, did you mean --rate-limit?"},
		{"send f h:1 --xyz", "unknown flag --xyz"},
		{"send f h:1 -qZ", "unknown flag -Z"},
		{"send f h:1 -é", "unknown flag -é"},
		{"send f h:1 -q\x1b[2J", `unknown flag "-\x1b"`},
		{"send f h:1 -\xff", `unknown flag "-\xff"`},
		{"cat -quiet", "unknown flag -quiet, did you mean --quiet?"},
		{"send f h:1 ---q", "unknown flag ---q"},
		{"send f h:1 --=x", "unknown flag --"},
		{"send f h:1 --4", "unknown flag --4"},
		{"send f h:1 -L", "-L needs a value: SIZE"},
		{"cat -qo", "-o needs a value: FILE"},
		{"cat --output", "--output needs a value: FILE"},
		{"cat -k", "cat has no -k (only send and recv do)"},
		{"relay -s 5 :80 a:80", "relay has no -s (only send, recv and cat do)"},
		{"-o x send f h:1", "send has no -o (only cat does)"},
		{"completion -q bash", "completion has no -q (only send, recv, cat, relay and probe do)"},
		{"--zzzz", "unknown flag --zzzz"},
		{"sned x", `unknown command "sned", did you mean send?`},
		{"sned --zzzz", `unknown command "sned", did you mean send?`},
		{"sned --help", `unknown command "sned", did you mean send?`},
		{"help sned", `unknown command "sned", did you mean send?`},
		{"big.iso host:9000", `unknown command "big.iso" (send, recv, cat, relay, probe, completion, help)`},
		{"''", `unknown command "" (send, recv, cat, relay, probe, completion, help)`},
		{"-", `unknown command "-" (send, recv, cat, relay, probe, completion, help)`},
	} {
		got, err := rewrite(append([]string{"zcp"}, fields(tc.in)...), newTable(new(values)))
		if err == nil || err.Error() != tc.want || exit.Status(err) != exit.BadUsage {
			t.Errorf("rewrite %q = %q, %v, want the error %q", tc.in, got, err, tc.want)
		}
	}
}

// FuzzRewrite holds rewrite to what the parser behind it relies on: it is
// idempotent, loses no operand, and package flag sees no operand as a flag.
func FuzzRewrite(f *testing.F) {
	for _, s := range []string{
		"send a -q b", "send -qL5M a b", "cat -o -- --", "-L 5 send", "help x", "send é -é", "send -\xff", "recv --size= -- -k", "cat -C=1 -4", "-hV",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv := append([]string{"zcp"}, strings.Split(line, " ")...)
		before := slices.Clone(argv)
		got, err := rewrite(argv, newTable(new(values)))
		if !slices.Equal(argv, before) {
			t.Fatalf("rewrite changed its argument: %q, now %q", before, argv)
		}
		if err != nil {
			if exit.Status(err) != exit.BadUsage || err.Error() == "" || text.Unseen(err.Error()) {
				t.Fatalf("rewrite %q: %q", argv, err)
			}
			return
		}
		again, err := rewrite(got, newTable(new(values)))
		if err != nil || !slices.Equal(got, again) {
			t.Fatalf("not idempotent: %q, then %q, then %q, %v", argv, got, again, err)
		}
		end := slices.Index(got, "--")
		if end < 0 {
			end = len(got)
		}
		for _, word := range got[min(2, len(got)):end] {
			if !strings.HasPrefix(word, "-") || len(word) < 2 {
				t.Fatalf("%q: %q stands among the flags of %q", argv, word, got)
			}
		}
	})
}
