package cmd

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer/relay"
)

// notifySystemd tells the service manager how we are (sd_notify(3)), if NOTIFY_SOCKET says
// where. An error of it must not end a relay that works.
func notifySystemd(state string) {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	_ = unix.Sendto(fd, []byte(state), unix.MSG_DONTWAIT, &unix.SockaddrUnix{Name: name})
}

// statusInterval is how often the line of `systemctl status` is brought up to date.
const statusInterval = 10 * time.Second

// A serviceStatus is the line that `systemctl status` shows of a relay.
type serviceStatus struct{ told string }

// ticks returns what says when to update it; nil where no service manager is there.
func (s *serviceStatus) ticks() (c <-chan time.Time, stop func()) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil, func() {}
	}
	t := time.NewTicker(statusInterval)
	return t.C, t.Stop
}

// tell sends the line if it has changed.
func (s *serviceStatus) tell(t relay.Totals) {
	if line := statusLine(t); line != s.told {
		s.told = line
		notifySystemd("STATUS=" + line)
	}
}

func statusLine(t relay.Totals) string {
	return fmt.Sprintf("%s open, %s served, %s up, %s down", text.Grouped(int64(t.Open)), text.Grouped(t.Accepted), text.Size(t.Up), text.Size(t.Down))
}
