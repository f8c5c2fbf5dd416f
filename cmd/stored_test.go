package cmd

import (
	"context"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/transfer"
)

// The lines tell how far it has come, and stop for good.
func TestSayBusy(t *testing.T) {
	at := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := (&transfer.Dialer{}).Dial(context.Background(), "unix", at)
	if err != nil {
		t.Fatal(err)
	}
	peer, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	var said atomic.Int64
	b := sayBusy(conn, time.Millisecond, func() proof.Busy { return proof.Busy{What: proof.VerifyDone, N: said.Add(1)} })
	var p proof.Parser
	var got []proof.Line
	buf := make([]byte, 100)
	hear := func() error {
		n, err := peer.Read(buf)
		p.Feed(buf[:n], func(l proof.Line) { got = append(got, l) })
		return err
	}
	for len(got) < 3 {
		if err := hear(); err != nil {
			t.Fatal(err)
		}
	}
	b.stop()
	last := said.Load()
	if err := conn.CloseGracefully(); err != nil {
		t.Fatal(err)
	}
	for hear() == nil {
	}
	if int64(len(got)) != last || said.Load() != last {
		t.Errorf("heard %d lines of %d, and then %d", len(got), last, said.Load())
	}
	for i, l := range got {
		if want := (proof.Busy{What: proof.VerifyDone, N: int64(i + 1)}); l != want {
			t.Fatalf("line %d is %v", i, l)
		}
	}
}

func TestReadBackPercent(t *testing.T) {
	j := &job{d: &delivery{role: receiving}}
	for _, tc := range []struct{ moved, digested, want int64 }{{0, 0, 0}, {200, 100, 50}, {1 << 60, 1 << 59, 50}, {100, 100, 100}} {
		j.d.t.Stats.Bytes.Store(tc.moved)
		j.d.t.Stats.Digested.Store(tc.digested)
		if got := j.readBack(); got != (proof.Busy{What: proof.VerifyDone, N: tc.want, Bytes: tc.digested}) {
			t.Errorf("%d of %d: %v", tc.digested, tc.moved, got)
		}
	}
}
