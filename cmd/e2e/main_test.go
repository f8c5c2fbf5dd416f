package e2e

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

func TestMain(m *testing.M) { program.Main(waiting{m}) }

// waiting are tests most of which wait, for a time that was asked for or for another process.
type waiting struct{ *testing.M }

// Run has two of them for each processor run at a time, unless -parallel says how many.
func (w waiting) Run() int {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))) // a flag of package testing, and a number
	}
	return w.M.Run()
}
