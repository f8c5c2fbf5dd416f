package transfer

// A RelayEvent is something that Relay.Tell is told.
type RelayEvent struct {
	Kind    RelayEventKind
	Addr    string    // RelayListening: where
	Conn    RelayConn // the connection that it is about, as it was then
	Reason  Ending    // RelayClosed, RelayUnreachable: why
	Err     error     // what went wrong, if anything did
	Dropped int64     // RelayClosed: bytes that were taken and not delivered
	Open    int       // connections now
}

// A RelayEventKind says what a RelayEvent is about.
type RelayEventKind uint8

// The kinds of events.
const (
	RelayListening    RelayEventKind = iota // Serve listens on Addr
	RelayOpened                             // a client was connected to its target
	RelayClosed                             // a connection has ended
	RelayUnreachable                        // a client was reset because its target was not reached
	RelayDenied                             // the gate has turned a client away
	RelayAcceptPaused                       // clients wait because descriptors or memory ran out; at most one a second
	RelayDraining                           // the listeners are closed, Open connections go on
)

// An Ending says why a connection ended.
type Ending uint8

// The ways in which a connection ends. After all but the first both peers see a reset.
const (
	Ended             Ending = iota // both sides have ended, and everything was delivered
	ClientReset                     // the client broke off
	TargetReset                     // the target broke off
	ClientFailed                    // the client's socket failed: see the error
	TargetFailed                    // the target's socket failed
	TargetUnreachable               // the target refused, or did not answer in time
	IdleTooLong                     // no byte moved for Relay.Idle
	HalfClosedTooLong               // one side had ended and no byte came from the other for Relay.HalfClose
	Stopped                         // the relay was stopped
	Failed                          // something else: see the error
)

var endingNames = [...]string{"ended", "reset by the client", "reset by the target", "client failed", "target failed",
	"target unreachable", "idle", "half-closed", "stopped", "failed"}

func (e Ending) String() string { return endingNames[e] }
