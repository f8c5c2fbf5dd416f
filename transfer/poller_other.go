//go:build !linux

package transfer

func newPoller() (poller, error) { return newPollSet() }
