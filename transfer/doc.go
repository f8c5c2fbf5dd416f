// Package transfer moves bytes between files, pipes, TCP and Unix sockets on the
// cheapest path that the kernel has for the pair: copy_file_range(2), sendfile(2),
// splice(2) straight between a pipe and another end, two splices through a borrowed
// pipe, and read(2) and write(2), which always work. A path is tried, not predicted, and a
// refusal, at the first byte or in the middle, costs no byte. It never prints.
//
// # For programs
//
// The API is not promised before version 1.0; the command line, the exit statuses and the JSON
// events are.
//
// Where a program has io.Copy between *os.File, *net.TCPConn and *net.UnixConn,
//
//	n, err := transfer.Copy(ctx, dst, src)
//
// does the same with a context, and for pairs that the standard library copies
// through memory (pipe to pipe, pipe to file, socket to pipe). Other readers and writers are
// copied through memory. What `zcp send` promises is one call:
//
//	report, err := transfer.Send(ctx, conn, file)
//
// A Transfer has options and counts that may be watched while it runs:
//
//	t := transfer.Transfer{Idle: time.Minute}
//	go watch(&t.Stats)
//	n, err := t.Copy(ctx, dst, src)
//
// An error is an [*Error] that names the system call and the side it belongs to, and wraps that
// side's errno; or [ErrIdle], [ErrPeerGone], or the context's cause. [Stats] tells the [Path]s
// that bytes took and each [Fallback]; [Event]s tell of them as they happen.
//
// [Endpoint]s are for descriptors that a program opened itself ([Own]) or was born with
// ([Inherit]): Transfer.Move moves from one to another, Transfer.MoveSegment a range of one or
// bytes from memory, Transfer.Write and Transfer.ReadFull to and from memory. A [Dialer] and a
// [Listener], which a [Gate] guards, make [Conn]s, whose peer sees a reset if the process dies;
// [ConnOf] and [ListenerOf] make them of package net's. Both are readers and writers for Copy.
// Transfer.Finish waits for the peer's acknowledgement and says how it ended ([Delivery]). An
// [Exchange] joins two endpoints with a Conn, both ways. A source file is watched while its pages
// are sent by reference: Endpoint.Verify tells what became of it ([SourceState], [Guarding]).
//
// # For drivers
//
// A [Pump] is one direction of one transfer as a state machine that never sleeps. A Transfer
// drives one; an event loop, as package transfer/relay has it, drives thousands. A driver sets Pool
// (a [Pipes]) and Choose (a [Chooser]), calls Start, and then Step again and again: the [Want] that
// Step returns is what to wait for, and Ready says that it has come. Held, Release and Stop are
// for the waits between and for the end. [Socket], Endpoint.Disown, Listener.Take, [BindAddr],
// [WorthRetrying], [Pool], [Quantum] and [YieldEvery] are what such a driver needs besides.
//
// # For the zcp command
//
// [Inherited], [InheritListener], [Listening] and [ListenPlain] are for descriptors that the
// process was born with and for its page of figures; Transfer.ServeWhileWaiting, Endpoint.TCPInfo,
// Endpoint.Preallocate and Endpoint.StartWriteback for what a person sees and for files that recv
// writes.
package transfer
