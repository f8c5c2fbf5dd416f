package cmd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
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

// activationFD finds the first socket that systemd passed by that name, or at all.
func activationFD(name string) (int, error) {
	fds, err := activationFDs(name)
	if err != nil {
		return 0, err
	}
	return fds[0], nil
}

// activationFDs finds the sockets that systemd passed: LISTEN_FDS of them from
// descriptor 3 on, for the process LISTEN_PID, named by LISTEN_FDNAMES (sd_listen_fds(3)).
func activationFDs(name string) ([]int, error) {
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("the sockets of LISTEN_FDS are for process %s", text.Quote(pid))
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 1 {
		return nil, errors.New("no socket was passed (LISTEN_FDS is not set)")
	}
	var fds []int
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for i := range n {
		if _, err := unix.FcntlInt(uintptr(3+i), unix.F_GETFD, 0); err != nil {
			return nil, fmt.Errorf("LISTEN_FDS is %d, but descriptor %d is not open", n, 3+i)
		}
		if name == "" || i < len(names) && names[i] == name {
			unix.CloseOnExec(3 + i)
			fds = append(fds, 3+i)
		}
	}
	if len(fds) == 0 {
		return nil, fmt.Errorf("no socket called %s was passed (there are: %s)", text.Quote(name), text.Quote(os.Getenv("LISTEN_FDNAMES")))
	}
	return fds, nil
}
