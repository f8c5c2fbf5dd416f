package relay

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestDoor closes the door of a relay before and behind a client: one that waits in the backlog opens
// it again and is reached, as is the next one; without one the listener takes no client any more.
func TestDoor(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			where := "127.0.0.1:0"
			if network == "unix" {
				where = filepath.Join(t.TempDir(), "s")
			}
			ln := bed.Must(transfer.Listen(context.Background(), network, where))(t)
			address := ln.Addr().String()
			socks := bed.Must(takeListeners([]*transfer.Listener{ln}))(t)
			defer closeListeners(socks)
			r := &Relay{MaxConns: 10}
			r.base = time.Now()
			dial := func() net.Conn {
				c := bed.Must(net.Dial(network, address))(t)
				t.Cleanup(func() { c.Close() })
				return c
			}
			accept := func() {
				fd, _, err := unix.Accept(socks[0].fd)
				bed.MustDo(t, err)
				unix.Close(fd)
			}
			dial()
			if r.closeDoor(socks) {
				t.Fatal("closed the door before a client in the backlog")
			}
			dial()
			accept()
			accept()
			if !r.reserve() || r.closeDoor(socks) {
				t.Fatal("closed the door behind a client")
			}
			r.open.Add(-1)
			if !r.closeDoor(socks) || r.reserve() || r.openNow() != 0 {
				t.Fatal("did not close the door")
			}
			if c, err := (&net.Dialer{Timeout: 50 * time.Millisecond}).Dial(network, address); err == nil {
				c.Close()
				t.Error("a client came through the closed door")
			}
			if network == "unix" {
				closeListeners(socks)
				if left := bed.Must(os.ReadDir(filepath.Dir(where)))(t); len(left) > 0 {
					t.Errorf("%s is left", left[0].Name())
				}
			}
		})
	}
}
