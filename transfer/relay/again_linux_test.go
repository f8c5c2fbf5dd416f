package relay_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestMain has more parallel tests at once than there are processors, unless -parallel says how many: they wait for
// limits of the relay's to pass.
func TestMain(m *testing.M) {
	flag.Parse()
	said := false
	flag.Visit(func(f *flag.Flag) { said = said || f.Name == "test.parallel" })
	if !said {
		_ = flag.Set("test.parallel", "8") // it is a flag of every test binary, and a number
	}
	os.Exit(m.Run())
}

// front is set where all tests run again with a PROXY header in front, on one of several listeners.
var front = os.Getenv("ZCP_TEST_FRONT") != ""

// TestAgainBehindProxy runs the other tests again, each connection with a header before its first byte, to the
// second of three listeners. It is the first test of the package, so that the second run goes on beside all others.
func TestAgainBehindProxy(t *testing.T) {
	if front {
		t.Skip("this is the second run")
	}
	if testing.Short() {
		t.Skip("takes as long as all other tests")
	}
	limit := time.Duration(0) // none
	if end, ok := t.Deadline(); ok {
		limit = time.Until(end) - 5*time.Second // so that it says itself what takes so long
	}
	again := exec.Command(os.Args[0], "-test.run=^TestRelay", "-test.timeout="+limit.String(), "-test.parallel="+flag.Lookup("test.parallel").Value.String())
	again.Env = append(os.Environ(), "ZCP_TEST_FRONT=1")
	var out bytes.Buffer
	again.Stdout, again.Stderr = &out, &out
	bed.MustDo(t, again.Start())
	t.Parallel() // from here on when the others that wait do
	if err := again.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}
