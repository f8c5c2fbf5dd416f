//go:build race

package transfer_test

// racing says that the race detector is on: what is repeated in other processes or many times over is then done less often.
const racing = true
