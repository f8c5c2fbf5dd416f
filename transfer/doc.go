// Package transfer moves bytes between files, pipes, TCP and Unix sockets on the
// cheapest path that the kernel has for the pair: copy_file_range(2), sendfile(2),
// splice(2) straight between a pipe and another end, two splices through a borrowed
// pipe, and read(2) and write(2), which always work. A path is tried, not predicted, and a
// refusal, at the first byte or in the middle, costs no byte.
//
// Where a program has io.Copy between *os.File, *net.TCPConn and *net.UnixConn,
//
//	n, err := transfer.Copy(ctx, dst, src)
//
// does the same with a context, and for pairs that the standard library copies
// through memory (pipe to pipe, pipe to file, socket to pipe). A Transfer has options
// and counts that may be watched while it runs:
//
//	t := transfer.Transfer{Idle: time.Minute}
//	go watch(&t.Stats)
//	n, err := t.Copy(ctx, dst, src)
//
// An error is an *Error that names the side it belongs to and wraps that side's errno.
//
// The package also holds what the zcp command is made of: endpoints for inherited
// descriptors, connections that turn a crash into a reset, the wait for the peer's
// acknowledgement, the guard over a source file whose pages are sent by reference,
// and the relay's event loop. It never prints.
package transfer
