package relay

// An Event is what Relay.OnEvent is called with.
type Event struct {
	Kind    EventKind
	Addr    string   // Listening: where
	Conn    ConnInfo // the connection that it is about, as it was then
	Reason  Ending   // Closed, Unreachable: why
	Err     error    // what went wrong, if anything did
	Dropped int64    // Closed: bytes that were taken and not delivered
	Open    int      // connections now
}

// An EventKind says what an Event is about.
type EventKind uint8

// The kinds of events.
const (
	Listening    EventKind = iota // Serve listens on Addr
	Opened                        // a client was connected to its target
	Closed                        // a connection has ended
	Unreachable                   // a client was reset because its target was not reached
	Denied                        // Gate refused a client
	AcceptPaused                  // clients wait because descriptors or memory ran out; at most one a second
	Draining                      // the listeners are closed, Open connections go on
)

var eventNames = [...]string{"listening", "opened", "closed", "unreachable", "denied", "accept paused", "draining"}

func (k EventKind) String() string { return eventNames[k] }

// An Ending says why a connection ended.
type Ending uint8

// The ways in which a connection ends. After all but the first both peers see a reset.
const (
	Ended             Ending = iota // both sides have ended, and everything was delivered
	ClientReset                     // the client reset its connection
	TargetReset                     // the target reset its connection
	ClientFailed                    // the client's socket failed: see the error
	TargetFailed                    // the target's socket failed
	TargetUnreachable               // the target refused, or did not answer in time
	IdleTooLong                     // no byte moved for Relay.Idle
	HalfClosedTooLong               // one side had ended and no byte came from the other for Relay.HalfClose
	Stopped                         // the relay was stopped
	Failed                          // something else: see the error
	NoHeader                        // a PROXY header was required, and did not come or was wrong: see the error
	NotAdmitted                     // Gate refuses the client that the PROXY header names
)

var endingNames = [...]string{"ended", "reset by the client", "reset by the target", "client failed", "target failed",
	"target unreachable", "idle", "half-closed", "stopped", "failed", "no PROXY header", "denied"}

func (e Ending) String() string { return endingNames[e] }
