// Package bed is what the tests of transfer and of its relay have in common. Only tests import it.
package bed

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Patience ends a test that hangs. Nothing that works ever waits for it.
const Patience = 20 * time.Second

// All says whether tests are to try each of their cases: with ZCP_TEST_ALL=1 in the environment, as in
//
//	ZCP_TEST_ALL=1 go test ./transfer/...
//
// Otherwise some of them try a fixed sample, and say which.
func All() bool { return os.Getenv("ZCP_TEST_ALL") == "1" }

// Noise returns n bytes in which no two stretches are alike, so that a lost, doubled
// or shifted byte shows. The same n and seed give the same bytes.
func Noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 'z', 'c', 'p'})
	_, _ = r.Read(b) // ChaCha8 never fails
	return b
}

// Must returns v, or ends the test by err.
func Must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Until waits for something that another goroutine or the kernel is about to do.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Errorf("waited in vain: %s", what)
			return
		}
	}
}

// ProcessorTime returns what this process has used so far.
func ProcessorTime(t testing.TB) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// MustDo ends the test by err, if there is one.
func MustDo(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
