package pipepool

import "testing"

func TestGetLendsAnEmptyPipeOfTheWishedSize(t *testing.T) {
	var pl Pool
	p, err := pl.Get()
	if err != nil {
		t.Fatal(err)
	}
	if p.Len != 0 || p.Cap() != DefaultSize {
		t.Errorf("Len %d Cap %d, want 0 and %d", p.Len, p.Cap(), DefaultSize)
	}
	pl.Put(p)
	q, err := pl.Get()
	if err != nil {
		t.Fatal(err)
	}
	if q != p {
		t.Error("an idle pipe was not lent again")
	}
	q.Len = 1
	pl.Put(q)
	if s := pl.Stats(); s.Open != 0 || s.InUse != 0 || s.Idle != 0 {
		t.Errorf("after a dirty Put: %+v", s)
	}
}
