//go:build !linux

package relay

func newPoller() (poller, error) { return newPollSet() }
