package pipepool

// Stats are the figures of a Pool at one moment. Each open pipe is two descriptors.
type Stats struct {
	Open     int   // pipes open: those in use and those idle
	InUse    int   // pipes lent
	Idle     int   // pipes waiting for the next Get, those in the pool's Locals included
	Capacity int64 // bytes that all open pipes could hold
	Refused  int64 // since the beginning: Gets that had to return an error
	Smaller  int64 // since the beginning: pipes opened with less than the wished capacity
}

// Stats returns the figures of the pool. It takes all the pool's locks for a moment: ask once a second, not once a Get.
func (pl *Pool) Stats() Stats {
	idle := pl.onShards() + pl.inLocals()
	open := int(pl.open.Load())
	return Stats{
		Open:     open,
		InUse:    max(0, open-idle), // a pipe may have been closed between the two lines above
		Idle:     idle,
		Capacity: pl.bytes.Load(),
		Refused:  pl.refused.Load(),
		Smaller:  pl.smaller.Load(),
	}
}
