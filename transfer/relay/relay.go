package relay

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zcp-go/zcp/pipepool"
	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/sock"
	"github.com/zcp-go/zcp/transfer/rate"
)

// A Relay gives every client of its listeners a connection of its own to a target, and
// moves bytes both ways until both directions have ended.
//
// An end of stream in one direction is passed on as one, behind the last byte, and the
// other direction goes on. A reset stays a reset, in both directions and at once. Sockets
// are armed as those of a Conn are: if the program dies, both peers see a reset.
//
// Event loops, one goroutine each, drive all connections. A connection on which nothing
// moves costs two descriptors and less than a kibibyte: no pipe, no buffer, no goroutine.
//
// Fields are set before Serve and not changed afterwards.
type Relay struct {
	Network, Address string // of the target, as in transfer.Dialer.Dial; names are looked up for each connection
	// Routes are the targets for each listener of Serve, in place of Network and Address. Where a listener has several,
	// they are tried in order; one that has failed is tried last for 10 s.
	Routes [][]Target
	Spread bool            // the targets of a listener take turns at being the first
	Dialer transfer.Dialer // Bind, Wait and RetryFor hold for each connection, Congestion for both of its sockets
	Gate   transfer.Gate   // who may connect; others are reset before a byte of theirs is read

	// Peers in AcceptProxy, and Unix clients with AcceptProxyUnix, have to say a PROXY header first: it names the client
	// for Gate, for events and the table. From others none is expected. Where SendProxy is 1 or 2, targets get one.
	AcceptProxy     []netip.Prefix
	AcceptProxyUnix bool
	SendProxy       int
	AsClient        bool // connect from the client's own address; see CheckAsClient

	MaxConns  int           // most connections at once; more wait in the listener's backlog. 0, or too many: what the descriptors allow
	Idle      time.Duration // a connection without a byte in either direction for so long is reset; 0: never
	HalfClose time.Duration // the same once one direction has ended; 0: never
	ExitIdle  time.Duration // Serve returns after so long without a connection; 0: never

	PipeSize int                  // bytes of a borrowed pipe; 0: pipepool.DefaultSize
	NoSplice bool                 // read and write through memory only
	Limit    func() *rate.Limiter // makes the limit of one direction of one connection; nil: none
	Total    *rate.Limiter        // holds for all bytes together; nil: none
	Loops    int                  // event loops; 0: defaultLoops

	// OnEvent is called with what happens, where it is not nil. The loops call it and do
	// nothing else meanwhile: it must not wait.
	OnEvent func(Event)
	// Brief keeps Opened and Closed from OnEvent. They come with every connection,
	// and to emit them costs a short one a tenth of its processor time.
	Brief bool
	// Alone says that the process has little to do besides: a loop may keep its processor from other goroutines for up
	// to 3 ms while it waits, which costs a connection less. Without it that is 200 us.
	Alone bool

	running
}

// running is the state of a Relay that serves.
type running struct {
	base           time.Time // what the loops' clocks count from
	pool           *pipepool.Pool
	mostPipes      int
	targets        []*target            // of all routes
	socks          []*listenSocket      // of Serve
	own            map[uint16][]ownAddr // where the listeners are
	bind           netip.AddrPort
	ephemeralMin   uint16 // the lowest port that the kernel gives to a socket that connects
	ids            atomic.Uint64
	open           atomic.Int64 // connections now
	emptied        atomic.Int64 // when open last became 0, on the loops' clock
	atMaxConns     atomic.Bool  // a loop waits for a connection to end
	circling       atomic.Bool  // the target may lead back here, see ErrCircle
	dialsWithoutFD atomic.Int64 // accepted clients without a descriptor to reach the target with
	lastStarved    atomic.Int64 // when it was last reported that descriptors ran out, on the loops' clock
	draining       atomic.Bool  // Drain was called
	accepting      atomic.Int32 // so many of the loops accept
	paced          bool         // the host's congestion control paces: peers on this host get another
	newPoller      func() (poller, error)
	firstCheck     time.Duration
	lastsAfter     int64 // and lastsBytes: see share.go
	lastsBytes     int64
	lookUp         func(context.Context) ([]netip.AddrPort, error) // in place of the resolver
	lookups        lookups
	queues         queues

	closing  sync.Mutex // held while a listener is closed or duplicated
	mu       sync.Mutex
	loops    []*loop
	finished counts // of loops that have ended
	began    time.Time
	drains   chan time.Duration // made by the first of Drain and Serve
}

// Errors with which a relay ends a connection, or itself.
var (
	ErrHalfClose = errors.New("one side has ended and the other sends nothing")
	ErrDrain     = errors.New("connections were still open when the time to drain had passed")
)

// defaultLoops is how many event loops serve where Relay.Loops is 0.
func defaultLoops() int { return max(1, min(runtime.GOMAXPROCS(0), 8)) }

// Serve takes the listeners over and relays until ctx ends, which resets what is open and
// returns ctx's cause; or until a Drain or ExitIdle has ended it, which returns nil, or
// ErrDrain if connections had to be cut. It is called once.
func (r *Relay) Serve(ctx context.Context, lns ...*transfer.Listener) error {
	socks, err := takeListeners(lns)
	if err != nil {
		return err
	}
	defer closeListeners(socks)
	if err := r.prepare(ctx, socks); err != nil {
		return err
	}
	r.own = ownAddrs(socks)
	looking, done := context.WithCancel(context.WithoutCancel(ctx))
	defer done()
	r.lookups.ctx = looking
	loops, err := r.openLoops(socks)
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	failed := make(chan error, len(loops))
	for _, l := range loops {
		group.Go(func() { failed <- l.run() })
	}
	for _, s := range socks {
		r.emit(Event{Kind: Listening, Addr: s.addr})
	}
	err = r.supervise(ctx, socks, len(loops), failed)
	group.Wait()
	r.queues.close()
	return err
}

// prepare works out what holds for all connections.
func (r *Relay) prepare(ctx context.Context, socks []*listenSocket) error {
	r.mu.Lock() // Totals may be asked for already
	defer r.mu.Unlock()
	r.base, r.began = time.Now(), time.Now()
	r.pool = transfer.Pool(r.PipeSize)
	if r.newPoller == nil {
		r.newPoller = newPoller
	}
	if r.Loops <= 0 {
		r.Loops = defaultLoops()
	}
	if r.firstCheck == 0 {
		r.firstCheck = firstCheck
	}
	if r.lastsBytes == 0 {
		r.lastsAfter, r.lastsBytes = lastsAfter, lastsBytes
	}
	if len(r.Routes) > 0 && len(r.Routes) != len(socks) {
		return errors.New("as many routes as listeners are needed")
	}
	routes, err := r.openRoutes(ctx, len(socks))
	if err != nil {
		return err
	}
	r.socks = socks
	for i, s := range socks {
		s.route = routes[i]
	}
	if r.Dialer.Bind != "" {
		a, err := transfer.BindAddr("tcp", r.Dialer.Bind)
		if err != nil {
			return err
		}
		word := a.String()
		if word[0] == ':' { // the port alone: from any address
			word = "[::]" + word
		}
		if r.bind, err = netip.ParseAddrPort(word); err != nil {
			return err
		}
	}
	r.ephemeralMin = sock.EphemeralMin()
	r.paced = r.Dialer.Congestion == "" && transfer.Paces(transfer.DefaultCongestion())
	for _, s := range socks {
		s.unpaced = r.paced && !sock.Pacing(s.fd)
	}
	r.mostPipes, r.MaxConns = budget(r.MaxConns, r.Loops, r.forTarget())
	return nil
}

// openLoops returns the loops as they are now; r.loops loses those that end.
func (r *Relay) openLoops(socks []*listenSocket) ([]*loop, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepting.Store(1)
	if len(socks) > manyListeners {
		r.accepting.Store(int32(r.Loops))
	}
	for i := range r.Loops {
		l, err := newLoop(r, socks)
		if err != nil {
			for _, l := range r.loops {
				l.close()
			}
			r.loops = nil
			return nil, err
		}
		l.index = int32(i)
		r.loops = append(r.loops, l)
	}
	return r.loops, nil
}

// supervise waits for a reason to end, and then for so many loops to end. Each of them
// reports once to failed.
func (r *Relay) supervise(ctx context.Context, socks []*listenSocket, left int, failed <-chan error) (err error) {
	idle := time.NewTimer(r.ExitIdle)
	defer idle.Stop()
	if r.ExitIdle <= 0 {
		idle.Stop() // it never fires, not even if it is due by now (Go 1.23)
	}
	var limit <-chan time.Time
	stopped := ctx.Done()
	drains := r.drainings()
	stop := func(why error) { r.each(func(l *loop) { l.stop(why) }) }
	for left > 0 {
		select {
		case e := <-failed:
			left--
			if e != nil && err == nil {
				err = e
				stop(e)
			}
		case <-stopped:
			stopped = nil
			err = context.Cause(ctx)
			stop(err)
		case d := <-drains:
			r.draining.Store(true)
			if d >= 0 {
				limit = time.After(d)
			}
			r.each((*loop).drain)
		case <-limit:
			if r.openNow() > 0 {
				err = ErrDrain
			}
			stop(ErrDrain)
		case <-idle.C:
			if wait := r.sinceEmpty(); wait > 0 {
				idle.Reset(wait)
			} else if r.closeDoor(socks) {
				r.each((*loop).drain)
			} else {
				idle.Reset(r.ExitIdle)
			}
		}
	}
	return err
}

// sinceEmpty returns how much of ExitIdle is left, at least.
func (r *Relay) sinceEmpty() time.Duration {
	if r.openNow() > 0 {
		return r.ExitIdle
	}
	return r.ExitIdle - (time.Since(r.base) - time.Duration(r.emptied.Load()))
}

// Drain closes the listeners at once and lets the connections that are open go on until
// they end, or are reset when limit has passed; a negative limit never passes. A Drain
// before Serve holds when Serve begins.
func (r *Relay) Drain(limit time.Duration) {
	select {
	case r.drainings() <- limit:
	default: // already draining
	}
}

// drainings is how Drain reaches Serve.
func (r *Relay) drainings() chan time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drains == nil {
		r.drains = make(chan time.Duration, 1)
	}
	return r.drains
}

// each has every loop run f, and does not wait for it.
func (r *Relay) each(f func(*loop)) {
	for _, l := range r.current() {
		l.post(f)
	}
}

// current returns the loops that run.
func (r *Relay) current() []*loop {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.loops
}

func (r *Relay) emit(e Event) {
	if r.OnEvent != nil {
		r.OnEvent(e)
	}
}
