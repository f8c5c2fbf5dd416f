package relay

import "time"

// A loop that waits for its descriptors may keep its processor, in the runtime's sense, for a while: it is spared
// what the runtime does for a thread that may be gone for long, which is a futex call at its return, and the monitor
// that looks every 20 us (short connections: 157 us of processor time each instead of 173). No other goroutine
// runs on that processor meanwhile. The collector does not wait: its signal ends epoll_pwait2(2).
//
// A longer wait has a timer that is not the next one of its processor to expire, which the kernel need
// not set; in a virtual machine that is an exit to the host. 64 bytes there and back on one connection, medians of 5 rounds
// in turn on 2 processors: 200 us 70.3 us a round and 42.5 us of processor time, 1 ms 60.4 and 35, 3 ms 57.1 and 32.5
// (nginx 55.0 and 27.5); 8 short connections at a time: 133, 117 and 120 us of processor time each.
//
// To ask again and again before it sleeps does not pay: 64 bytes there and back on one connection, 2 processors
// that both peers run on as well, took the relay 59 us of processor time a round without, 63 when it asked for up to
// 20 us, 80 for 50 us and 82 for 100 us, and no less time: 101 us a round without, 104, 103 and 99 with; on busy
// processors 45 us without and 55, 68 and 72 with (BenchmarkPolling, medians of 3). A peer that could run where the
// relay asks is what it waits for.
const (
	briefWait = 200 * time.Microsecond
	aloneWait = 3 * time.Millisecond
)

// keep returns how long a loop that waits may keep its processor. A lookup needs it at once: where every loop
// kept its own, a name took three times as long.
func (r *Relay) keep() time.Duration {
	switch {
	case r.lookups.running.Load() > 0:
		return 0
	case r.Alone:
		return aloneWait
	}
	return briefWait
}
