package transfer_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// TestListenUnpolled: the socket listens where Listen would, and is armed; what cannot be opened has the same words.
func TestListenUnpolled(t *testing.T) {
	free := func(host string) string {
		ln := bed.Must(net.Listen("tcp", net.JoinHostPort(host, "0")))(t)
		defer ln.Close()
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		return port
	}
	ctx := context.Background()
	for _, c := range []struct{ network, host, reach string }{
		{"tcp", "127.0.0.1", "127.0.0.1"}, {"tcp4", "", "127.0.0.1"}, {"tcp", "", "127.0.0.1"}, {"tcp", "", "::1"},
		{"tcp", "::1", "::1"}, {"tcp6", "", "::1"}, {"tcp", "localhost", "127.0.0.1"},
	} {
		port := free(c.host)
		at := net.JoinHostPort(c.host, port)
		ln := bed.Must(transfer.ListenUnpolled(ctx, c.network, at))(t)
		client := bed.Must(net.Dial("tcp", net.JoinHostPort(c.reach, port)))(t)
		if _, err := transfer.ListenUnpolled(ctx, c.network, at); !errors.Is(err, unix.EADDRINUSE) || !strings.Contains(err.Error(), "listen "+c.network[:3]) {
			t.Errorf("%s %s is taken: %v", c.network, at, err)
		}
		_, list, _ := net.SplitHostPort(ln.Addr().String())
		fd, inherited, restore, err := ln.Take()
		if err != nil || inherited || list != port {
			t.Fatal(err, inherited, list)
		}
		linger := bed.Must(unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_LINGER))(t)
		if linger != 1 {
			t.Errorf("%s is not armed", at)
		}
		if c.network == "tcp6" {
			if _, err := net.Dial("tcp", "127.0.0.1:"+port); !errors.Is(err, unix.ECONNREFUSED) {
				t.Errorf("%s of IPv6 takes IPv4: %v", at, err)
			}
		}
		unix.Close(fd)
		restore()
		client.Close()
		if err := ln.Close(); err == nil && c.host != "localhost" {
			t.Error("it is closed after it was given away")
		}
	}
	ln := bed.Must(transfer.ListenUnpolled(ctx, "tcp", "127.0.0.1:"+free("127.0.0.1")))(t)
	if _, err := ln.Accept(ctx); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("it accepts: %v", err)
	}
	bed.MustDo(t, ln.SetDSCP(8))
	bed.MustDo(t, ln.Close())
	if _, err := net.Dial("tcp", ln.Addr().String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("it still listens: %v", err)
	}
}
