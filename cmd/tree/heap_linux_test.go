package tree

import (
	"runtime"
	"time"
)

// peak is how many bytes of the heap were in use at once while f ran, more than before, garbage
// that waits for its collection included.
func peak(f func()) int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := int64(m.HeapAlloc)
	most := before
	look := func() {
		runtime.ReadMemStats(&m)
		most = max(most, int64(m.HeapAlloc))
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				look()
			}
		}
	}()
	f()
	close(stop)
	<-stopped
	look()
	return most - before
}
