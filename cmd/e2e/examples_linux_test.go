package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// An example is what a reader may type: commands that run here, one after the other, and those
// that run there at the same time.
type example struct{ here, there []string }

// elsewhere are the examples that something else runs, or that need what no test has.
var elsewhere = map[string]string{
	"systemctl": ".ci/under-systemd runs the units", "OPENSSL:": "needs a certificate", "go build": ".ci/run runs it",
	"completion": "the tests of the completions run it in the shells", "/etc/zcp": ".ci/under-systemd runs the units", "pkill": "TestSignals asks for the status",
}

// scaled are the figures of the examples that would take too long.
var scaled = strings.NewReplacer("1503238553", "150000", "-s 4G", "-s 1M", "head -c 4G", "head -c 1M", "64GiB", "1M", "10G", "10M", "-L 10M", "-L 100M",
	"3120M", "1", "-s~4G", "-s~1M", "1m", "1m", `\e`, `\`)

// TestExamples runs every example of README, help and manual, once where it stands in several of them:
// each ends with status 0, in a room of its own where host, there, here and all others are this host.
func TestExamples(t *testing.T) {
	t.Parallel()
	program.NeedRoot(t)
	program.NeedTool(t, "mount", "socat", "nc.openbsd")
	rooms, all := newRooms(t), allExamples(t)
	var order []example
	places := map[string][]string{} // of a text
	for _, place := range slices.Sorted(maps.Keys(all)) {
		if len(all[place]) < 3 {
			t.Errorf("%s: only %d examples", place, len(all[place]))
		}
		for _, ex := range all[place] {
			text := ex.text()
			if places[text] == nil {
				order = append(order, ex)
			}
			places[text] = append(places[text], place)
		}
	}
	for _, ex := range order {
		text := ex.text()
		t.Run(strings.Join(slices.Compact(places[text]), " and ")+": "+text, func(t *testing.T) {
			for word, why := range elsewhere {
				if strings.Contains(text, word) {
					t.Skip("NOT TESTED here:", why)
				}
			}
			t.Parallel()
			rooms.run(t, ex.script())
		})
	}
}

// text is what the reader types; two examples with the same text do the same.
func (ex example) text() string {
	text := strings.Join(ex.here, "; ")
	if len(ex.there) > 0 {
		text += "; there: " + strings.Join(ex.there, "; ")
	}
	return text
}

var (
	exampleConnects = regexp.MustCompile(`zcp (?:send|recv|relay|probe) .*?\b(?:host|there|here|app|db|localhost|a|b):(\d+)`)
	exampleServes   = regexp.MustCompile(`zcp send .* :(\d+)`)
	exampleWaits    = regexp.MustCompile(`zcp recv (?:.* )?:(\d+)`)
	examplePulls    = regexp.MustCompile(`zcp recv (?:.* )?(?:host|here|there):(\d+)`)
	exampleRelays   = regexp.MustCompile(`zcp relay .*?(\S+) (\S+)$`)
)

// script has the commands run, with the other ends that they do not bring along.
func (ex example) script() string {
	var b strings.Builder
	first := ex.here[0]
	fmt.Fprintf(&b, "cd here\n")
	switch target := exampleRelays.FindStringSubmatch(first); {
	case len(ex.there) > 0:
		fmt.Fprintf(&b, "(cd ../there\n%s) & other=$!\n", sides(ex.there))
		fmt.Fprintf(&b, "%swait $other\n", sides(ex.here))
		return b.String()
	case strings.Contains(first, "relay - "):
		input := " </dev/null"
		if strings.Contains(first, "|") { // it brings its own, and a writer without a reader would fail
			input = ""
		}
		fmt.Fprintf(&b, "echoes %s\n%s%s | cat\n", address(target[2]), strings.Join(ex.here, "\n"), input)
	case target != nil:
		relayed(&b, target, ex.here)
	case strings.Contains(first, "zcp probe"):
		fmt.Fprintf(&b, "echoes %s\n%s\n", regexp.MustCompile(`\w+:\d+`).FindString(first), strings.Join(ex.here, "\n"))
	default:
		b.WriteString(otherEnd(first))
		fmt.Fprintf(&b, "%s%s[[ -z ${other:-} ]] || wait $other\n", sides(ex.here), "")
	}
	return b.String()
}

// otherEnd is what meets a command that sends or receives.
func otherEnd(command string) string {
	tree := regexp.MustCompile(`(^|\| )tar `).MatchString(command) || strings.Contains(command, "/ ") || strings.HasSuffix(command, "/")
	from, to := "nc.openbsd -N localhost %[1]s <../src/f", "nc.openbsd -l %[1]s >../there/got </dev/null"
	if tree {
		from, to = "tar -C ../src/photos -c . | nc.openbsd -N localhost %[1]s", "nc.openbsd -l %[1]s </dev/null | tar -C ../there -x"
	}
	if strings.Contains(command, "--verify") {
		to = "zcp recv -q --verify :%[1]s ../there/got"
	}
	switch m := [4][]string{examplePulls.FindStringSubmatch(command), exampleWaits.FindStringSubmatch(command), exampleServes.FindStringSubmatch(command), exampleConnects.FindStringSubmatch(command)}; {
	case strings.Contains(command, "for h in"): // it brings all of them along
		return ""
	case m[0] != nil:
		return fmt.Sprintf("nc.openbsd -N -l %s <../src/f & other=$!; listens %[1]s\n", m[0][1])
	case strings.Contains(command, "recv -k"):
		return fmt.Sprintf("(listens %s; "+from+"; until there_is '*1.*' && ! there_is '*.part'; do pause; done; pkill -x zcp) >/dev/null 2>&1 & trap 'exit 0' ERR\n", m[1][1])
	case strings.Contains(command, "send -k"):
		return fmt.Sprintf("(listens %s; nc.openbsd -d localhost %[1]s | cmp - disk.img && pkill -x zcp) & trap 'wait $! && exit 0' ERR\n", m[2][1])
	case m[1] != nil:
		return fmt.Sprintf("(listens %s; "+from+") & other=$!\n", m[1][1])
	case m[2] != nil && m[3] == nil:
		return fmt.Sprintf("(listens %s; nc.openbsd -d localhost %[1]s >../there/got) & other=$!\n", m[2][1])
	case m[3] != nil:
		return fmt.Sprintf(to+" & other=$!; listens %[1]s\n", m[3][1])
	}
	return ""
}

// relayed runs a relay, has each of its listeners answer, and stops it.
func relayed(b *strings.Builder, target []string, lines []string) {
	pairs := regexp.MustCompile(`(\S*:\d+(?:-\d+)?|unix:\S+) (\S+:\d\S*|unix:\S+)`).FindAllStringSubmatch(strings.TrimPrefix(lines[0], "zcp relay "), -1)
	for _, p := range pairs {
		if strings.HasPrefix(p[0], ":9100 ") { // --stats, and no pair
			continue
		}
		first, _, _ := strings.Cut(p[2], ",")
		fmt.Fprintf(b, "echoes %s\n", address(first))
		if strings.HasPrefix(p[1], ":") { // all addresses are this host's: the target has one of them
			lines[0] = strings.Replace(lines[0], " "+p[1]+" ", " localhost"+p[1]+" ", 1)
		}
	}
	lines[0] = strings.Replace(lines[0], "--allow 10.0.0.0/8", "--allow 127.0.0.0/8", 1)
	fmt.Fprintf(b, "%s & relay=$!\n", lines[0])
	for _, p := range pairs {
		if at, ok := strings.CutPrefix(p[1], "unix:"); ok {
			fmt.Fprintf(b, "until [[ -S %s ]]; do pause; done; [[ $(echo hi | socat -t5 - UNIX:%[1]s) == hi ]]\n", at)
		} else if _, port, _ := strings.Cut(address("x"+p[1]), ":"); !strings.HasSuffix(p[1], ":9100") {
			fmt.Fprintf(b, "[[ $(echo hi | socat -t5 - TCP4:localhost:%s,retry=400,interval=0.05 | tr -cd a-z) == *hi ]] # a PROXY header may stand in front\n", port)
		}
	}
	for _, line := range lines[1:] {
		fmt.Fprintf(b, "%s\n", line)
	}
	fmt.Fprintf(b, "kill $relay; wait $relay\n")
}

// address is host and port of an operand, of a range the first, or the path.
func address(operand string) string {
	if path, ok := strings.CutPrefix(operand, "unix:"); ok {
		return path
	}
	first, _, _ := strings.Cut(operand, "-")
	return first
}

// sides writes the commands of one side; one that connects waits for its listener.
func sides(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		m := regexp.MustCompile(`\b(?:there|here|host)[: ](\d+)`).FindStringSubmatch(line)
		if m != nil && !strings.Contains(line, "--retry-for") && strings.Contains(line, "zcp ") && !strings.Contains(line, "nc -l") {
			fmt.Fprintf(&b, "listens %s\n", m[1])
		} else if m != nil && strings.Contains(line, "nc -N") {
			fmt.Fprintf(&b, "listens %s\n", m[1])
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// allExamples reads the examples of all texts.
func allExamples(t *testing.T) map[string][]example {
	all := map[string][]example{}
	for _, file := range []string{"README.md", "man/zcp.1"} {
		page, err := os.ReadFile(filepath.Join("..", "..", file))
		must(t, err)
		display := regexp.MustCompile("(?ms)^(?:\\.Bd -literal[^\n]*|```sh)\n(.*?)^(?:\\.Ed|```)$")
		for _, m := range display.FindAllStringSubmatch(string(page), -1) {
			all[file] = append(all[file], blockOf(scaled.Replace(m[1]))...)
		}
	}
	for _, command := range []string{"", "send", "recv", "cat", "relay", "probe"} {
		p := program.Zcp(t, append([]string{"help"}, strings.Fields(command)...)...).Run(0)
		_, examples, _ := strings.Cut(p.Out.String(), "\nExamples\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		for line := range strings.Lines(examples) {
			if command, _, _ := strings.Cut(strings.TrimSpace(line), "  "); strings.Contains(command, "zcp ") && strings.HasPrefix(line, "  ") && !strings.HasPrefix(line, "      ") {
				all["help"] = append(all["help"], example{here: []string{scaled.Replace(command)}})
			}
		}
	}
	return all
}

// blockOf reads a display: what is marked there runs beside what is marked here, a relay beside the
// lines that follow it, a script is one example, and every other command is one of its own.
func blockOf(block string) (all []example) {
	if strings.HasPrefix(block, "for ") {
		return []example{{here: []string{strings.TrimSpace(block)}}}
	}
	var lines []string
	for line := range strings.Lines(block) {
		line = strings.TrimRight(line, "\n")
		if n := len(lines); n > 0 && (strings.HasSuffix(lines[n-1], "|") || strings.HasSuffix(lines[n-1], `\`)) {
			lines[n-1] = strings.TrimSuffix(lines[n-1], `\`) + " " + strings.TrimSpace(line)
			continue
		}
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			lines = append(lines, command)
		} else if command, ok := strings.CutPrefix(line, "# "); ok || strings.HasPrefix(line, "zcp ") || strings.HasPrefix(line, "tar ") || strings.HasPrefix(line, "CGO") {
			lines = append(lines, command)
		}
	}
	var both example
	for _, line := range lines {
		command, remark, _ := strings.Cut(line, " # ")
		command, remark = strings.TrimSpace(command), strings.TrimSpace(remark)
		switch {
		case strings.HasPrefix(remark, "there"):
			both.there = append(both.there, command)
		case strings.HasPrefix(remark, "here"), len(both.there) > 0:
			both.here = append(both.here, command)
		case len(all) > 0 && strings.Contains(all[0].here[0], "zcp relay --stats"):
			all[0].here = append(all[0].here, command)
		case strings.Contains(command, "zcp"):
			all = append(all, example{here: []string{command}})
		}
	}
	if len(both.here) > 0 {
		all = append(all, both)
	}
	return all
}
