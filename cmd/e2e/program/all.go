package program

import "os"

// All says whether the sweeps are to try each of their cases: with ZCP_TEST_ALL=1 in the environment, as in
//
//	ZCP_TEST_ALL=1 go test ./cmd/e2e/...
//
// Otherwise they try a fixed sample, in which each call, each errno and each command is at
// least once: a case starts up to three commands, and each start costs some 20 ms of processor time.
func All() bool { return os.Getenv("ZCP_TEST_ALL") == "1" }
