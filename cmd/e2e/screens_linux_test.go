package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// What a terminal shows: `go test -v -run TestScreens ./cmd/e2e` prints it, beside pv where that is installed.
// Each look has to fit its columns and to hold what is named here.
func TestScreens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program.WriteFile(t, filepath.Join(dir, "big.iso"), make([]byte, 20<<20), 0o644)
	none := "127.0.0.1:" + strconv.Itoa(program.FreePort())
	for _, tt := range []struct {
		name, zcp, pv string
		want          map[uint16]string // of zcp, by columns
	}{
		{"known size", "zcp cat -L 4M big.iso | cat > /dev/null", "pv -L 4M big.iso | cat > /dev/null", map[uint16]string{
			80: `[4-9]\.\d+MiB 0:00:0\d \[[34]\.\d+MiB/s\]  \d\d% \[=+> +\] ETA 0:00:\d\d`,
			40: `[4-9]\.\d+MiB \[[34]\.\d+MiB/s\]  \d\d% ETA 0:00:\d\d`,
			24: `[4-9]\.\d+MiB  \d\d% 0:00:\d\d`,
		}},
		{"unknown size", "cat big.iso | zcp cat -L 4M | cat > /dev/null", "cat big.iso | pv -L 4M | cat > /dev/null", map[uint16]string{
			80: `[4-9]\.\d+MiB 0:00:0\d \[[34]\.\d+MiB/s, mean [34]\.\d+MiB/s\]`, 40: `[4-9]\.\d+MiB 0:00:0\d \[[34]\.\d+MiB/s\]`,
		}},
		{"stalled", "zcp cat big.iso | sleep 9", "pv big.iso | sleep 9", map[uint16]string{
			80: `MiB 0:00:0\d [^\r\n]*stalled [3-8]s, waiting for the reader|MiB +\d+% (\[[=> ]*\] )?stalled [3-8]s, waiting for the reader`, 40: `MiB +\d+% stalled [3-8]s: the reader`,
		}},
		{"connecting", "zcp send --retry-for 3m big.iso " + none, "", map[uint16]string{
			80: `connecting to ` + none + `, refused [2-9] times, 2m5\ds left`, 40: `connecting to ` + none,
		}},
	} {
		for _, columns := range []uint16{80, 40, 24} {
			want, ok := tt.want[columns]
			if !ok {
				continue
			}
			t.Run(fmt.Sprintf("%s, %d", tt.name, columns), func(t *testing.T) {
				t.Parallel()
				got := screenOf(t, dir, columns, tt.zcp, want)
				if len(got) >= int(columns) {
					t.Errorf("%d columns: %q", len(got), got)
				}
				t.Logf("zcp |%s", got)
				if testing.Verbose() && tt.pv != "" && columns > 24 { // at 24 pv draws a line a second
					t.Logf("pv  |%s", screenOf(t, dir, columns, tt.pv, `0:00:0[2-8]`))
				}
			})
		}
	}
}

// screenOf runs a line in a shell on a terminal and returns the row that shows pattern; "" where it is pv's and
// pv is not installed, or never shows it.
func screenOf(t *testing.T, dir string, columns uint16, line, pattern string) string {
	t.Helper()
	pv := strings.Contains(line, "pv ")
	if pv && !hasTool("pv") {
		return ""
	}
	p, screen := onTerminal(t, columns, "sh", "-c", "cd "+dir+" && "+line)
	defer p.End()
	defer p.Kill(unix.SIGKILL)
	re := regexp.MustCompile(`[^\r\n\x1b]*(` + pattern + `)[^\r\n\x1b]*`)
	m := screen.Await(re.String())
	if m == nil {
		if !pv {
			t.Errorf("never showed %q, but %q", pattern, screen)
		}
		return ""
	}
	return m[0]
}
