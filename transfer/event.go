package transfer

// An EventKind says what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	Planned     EventKind = iota // Path is what will be tried first
	Guarded                      // Guarding says how the source is protected, Err why no lease was granted
	Borrowed                     // a pipe of Pipe bytes was borrowed
	Refused                      // Path was refused with Err by Side
	LeaseLost                    // a writer wanted the file; the rest is copied
	ReadingBack                  // everything has moved, and Digest has still to get what was stored
)

var eventNames = [...]string{"planned", "guarded", "borrowed", "refused", "lease lost", "reading back"}

func (k EventKind) String() string { return eventNames[k] }

// An Event is what Transfer.Trace is called with.
type Event struct {
	Kind     EventKind
	Path     Path
	Plan     []Path
	Side     Side
	Guarding Guarding
	Err      error
	Src, Dst Kind
	Pipe     int // bytes granted to the user's pipe, or to the borrowed one, where there is one
}

func (t *Transfer) tracePlan(pipe int) {
	left := t.choice.left()
	t.Trace(Event{Kind: Planned, Path: left[0], Plan: left, Src: t.pump.src.kind, Dst: t.pump.dst.kind, Pipe: pipe})
}

func (t *Transfer) traceRefusal(f Fallback) {
	t.Trace(Event{Kind: Refused, Path: f.Path, Side: f.Side, Err: f.Err})
	if f.Side != Neither {
		t.tracePlan(0)
	}
}
