package transfer_test

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// What the peer says is heard in order and whole, while bytes move and after their end.
func TestHeard(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		c, p := meet(t, network)
		var heard []byte
		tr := &transfer.Transfer{Discard: true, Heard: func(b []byte) (bool, error) {
			heard = append(heard, b...)
			return false, nil
		}}
		want := bed.Noise(100_000, 3)
		go func() {
			if _, err := p.Write(want[:50_000]); err != nil {
				t.Error(err)
			}
			_, _ = io.Copy(io.Discard, p)
			if _, err := p.Write(want[50_000:]); err != nil {
				t.Error(err)
			}
			p.Close()
		}()
		how, err := sendAndFinish(t, tr, c, bed.Patience)
		if err != nil || how != transfer.PeerClosed {
			t.Errorf("%s: %v, %v", network, how, err)
		}
		if string(heard) != string(want) || tr.Stats.Dropped.Load() != int64(len(want)) {
			t.Errorf("%s: heard %d bytes, want %d", network, len(heard), len(want))
		}
	}
}

// An error of Heard ends the transfer as it is.
func TestHeardError(t *testing.T) {
	c, p := meet(t, "tcp")
	enough := errors.New("enough")
	tr := &transfer.Transfer{Discard: true, Heard: func([]byte) (bool, error) { return true, enough }}
	go func() {
		_, _ = io.Copy(io.Discard, p)
		_, _ = p.Write([]byte("x"))
	}()
	if _, err := sendAndFinish(t, tr, c, bed.Patience); err != enough {
		t.Errorf("%v, want %v", err, enough)
	}
}

// A peer that gives signs of life is waited for beyond the time for its end, which begins anew with each.
func TestHeardLinger(t *testing.T) {
	const linger, patience = 100 * time.Millisecond, 300 * time.Millisecond
	defer func(d time.Duration) { *transfer.SignPatience = d }(*transfer.SignPatience)
	if *transfer.SignPatience != 10*time.Second { // five times the two seconds between signs of a receiver
		t.Errorf("a peer may be silent for %v", *transfer.SignPatience)
	}
	*transfer.SignPatience = patience
	c, p := meet(t, "tcp")
	var first, last time.Time
	tr := &transfer.Transfer{Discard: true, Heard: func([]byte) (bool, error) {
		now := time.Now()
		if first.IsZero() {
			first = now
		}
		if now.Sub(first) >= 5*linger {
			return false, nil
		}
		last = now
		return true, nil
	}}
	go talk(p)
	read := make(chan struct{})
	go func() { defer close(read); p.readAll() }()
	how, err := sendAndFinish(t, tr, c, linger)
	ended := time.Now()
	<-read
	if took := ended.Sub(last); err != nil || how != transfer.PeerStayedOpen || took < patience || last.Sub(first) < 2*linger {
		t.Errorf("%v, %v; ended %v after the last sign of life, which came %v after the first", how, err, took, last.Sub(first))
	}
}
