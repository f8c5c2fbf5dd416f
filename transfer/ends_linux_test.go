package transfer_test

import (
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/zcp-go/zcp/transfer"
	"github.com/zcp-go/zcp/transfer/internal/bed"
)

// A source opens something to take data from. Where a writer has to write the data
// meanwhile, w is that neighbour's end.
type source struct {
	name  string
	kind  transfer.Kind
	fixed string // a file whose content is what it is
	limit bool   // its end cannot be told: Move is given a limit
	zeros bool   // it has nothing but zeros
	twin  bool   // another one takes the same paths
	open  func(t testing.TB, data []byte) (e *transfer.Endpoint, w *os.File)
}

// A sink opens something to give data to. Where a reader has to read it meanwhile, r is
// that neighbour's end; otherwise stored returns what came.
type sink struct {
	name    string
	kind    transfer.Kind
	endless bool // its reader is told of no end
	swallow bool // what came cannot be seen
	twin    bool // another one takes the same paths
	open    func(t testing.TB) (e *transfer.Endpoint, r *os.File, stored func(n int) []byte)
}

var sources = []source{
	{name: "file", kind: transfer.File, open: fileSource},
	{name: "memfd", kind: transfer.File, open: memfdSource},
	{name: "pipe", kind: transfer.Pipe, open: farSource(newPipe)},
	{name: "FIFO", kind: transfer.Pipe, twin: true, open: farSource(newFIFO)},
	{name: "TCP", kind: transfer.TCP, open: farSource(newTCP)},
	{name: "Unix", kind: transfer.Unix, open: farSource(newUnix)},
	{name: "zero", kind: transfer.Char, limit: true, zeros: true, open: pathSource("/dev/zero")},
	{name: "block", kind: transfer.Block, limit: true, open: blockSource},
	{name: "proc", kind: transfer.Pseudo, fixed: "/proc/filesystems", open: pathSource("/proc/filesystems")},
	{name: "sys", kind: transfer.Pseudo, twin: true, fixed: "/sys/devices/system/cpu/possible", open: pathSource("/sys/devices/system/cpu/possible")},
	{name: "terminal", kind: transfer.Terminal, limit: true, open: farSource(newTerminal)},
}

var sinks = []sink{
	{name: "file", kind: transfer.File, open: fileSink(0)},
	{name: "appended", kind: transfer.File, open: fileSink(unix.O_APPEND)},
	{name: "memfd", kind: transfer.File, twin: true, open: memfdSink},
	{name: "pipe", kind: transfer.Pipe, open: farSink(newPipe)},
	{name: "FIFO", kind: transfer.Pipe, twin: true, open: farSink(newFIFO)},
	{name: "TCP", kind: transfer.TCP, open: farSink(newTCP)},
	{name: "Unix", kind: transfer.Unix, open: farSink(newUnix)},
	{name: "null", kind: transfer.Char, swallow: true, open: nullSink},
	{name: "block", kind: transfer.Block, open: blockSink},
	{name: "terminal", kind: transfer.Terminal, endless: true, open: farSink(func(t testing.TB) (r, w int) {
		slave, master := newTerminal(t)
		return master, slave
	})},
}

// farSource makes a source of a pair of descriptors of which the second is written to.
func farSource(pair func(testing.TB) (r, w int)) func(testing.TB, []byte) (*transfer.Endpoint, *os.File) {
	return func(t testing.TB, _ []byte) (*transfer.Endpoint, *os.File) {
		r, w := pair(t)
		return own(t, r), far(t, w)
	}
}

func farSink(pair func(testing.TB) (r, w int)) func(testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte) {
	return func(t testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte) {
		r, w := pair(t)
		return own(t, w), far(t, r), nil
	}
}

// newTerminal returns both ends of a terminal that changes no byte on its way.
func newTerminal(t testing.TB) (slave, master int) {
	t.Helper()
	master = bed.Must(unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0))(t)
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n := bed.Must(unix.IoctlGetInt(master, unix.TIOCGPTN))(t)
	slave = bed.Must(unix.Open("/dev/pts/"+strconv.Itoa(n), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0))(t)
	bed.Must(term.MakeRaw(slave))(t)
	return slave, master
}

func fileWith(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "source")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func openFor(t testing.TB, path string, flags int) *transfer.Endpoint {
	t.Helper()
	return own(t, bed.Must(unix.Open(path, flags|unix.O_CLOEXEC, 0o644))(t))
}

func fileSource(t testing.TB, data []byte) (*transfer.Endpoint, *os.File) {
	return openFor(t, fileWith(t, data), unix.O_RDONLY), nil
}

// holeSource is a file of size zeros that take no time to make.
func holeSource(t testing.TB, size int64) *transfer.Endpoint {
	t.Helper()
	path := fileWith(t, nil)
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return openFor(t, path, unix.O_RDONLY)
}

func pathSource(path string) func(testing.TB, []byte) (*transfer.Endpoint, *os.File) {
	return func(t testing.TB, _ []byte) (*transfer.Endpoint, *os.File) {
		return openFor(t, path, unix.O_RDONLY), nil
	}
}

// memfdSource is a file that was made and written by the process itself: it has no name and a writer.
func memfdSource(t testing.TB, data []byte) (*transfer.Endpoint, *os.File) {
	fd := bed.Must(unix.MemfdCreate("source", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING))(t)
	for done := 0; done < len(data); {
		done += bed.Must(unix.Pwrite(fd, data[done:], int64(done)))(t)
	}
	return own(t, fd), nil
}

func fileSink(flags int) func(testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte) {
	return func(t testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte) {
		path := filepath.Join(t.TempDir(), "sink")
		e := openFor(t, path, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|flags)
		return e, nil, func(int) []byte { return bed.Must(os.ReadFile(path))(t) }
	}
}

func memfdSink(t testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte) {
	fd := bed.Must(unix.MemfdCreate("sink", unix.MFD_CLOEXEC))(t)
	path := "/proc/self/fd/" + strconv.Itoa(fd)
	return own(t, fd), nil, func(int) []byte { return bed.Must(os.ReadFile(path))(t) }
}

func nullSink(t testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte) {
	return openFor(t, "/dev/null", unix.O_WRONLY), nil, nil
}

func blockSource(t testing.TB, data []byte) (*transfer.Endpoint, *os.File) {
	dev := loopDevice(t, 0)
	f := bed.Must(os.OpenFile(dev, os.O_WRONLY, 0))(t)
	defer f.Close()
	bed.Must(f.Write(data))(t)
	return openFor(t, dev, unix.O_RDONLY), nil
}

func blockSink(t testing.TB) (*transfer.Endpoint, *os.File, func(int) []byte) {
	dev := loopDevice(t, 1)
	e := openFor(t, dev, unix.O_WRONLY)
	return e, nil, func(n int) []byte {
		f := bed.Must(os.Open(dev))(t)
		defer f.Close()
		b := make([]byte, n)
		bed.Must(io.ReadFull(f, b))(t)
		return b
	}
}

const loopSize = 8 << 20

// loopDevices are a block device to read and one to write; making one takes longer than most tests.
var loopDevices = [2]func() (string, error){sync.OnceValues(newLoopDevice), sync.OnceValues(newLoopDevice)}

// loopDevice returns the path of a block device of loopSize bytes, or skips the test.
func loopDevice(t testing.TB, which int) string {
	t.Helper()
	path, err := loopDevices[which]()
	if err != nil {
		bed.SkipLoudly(t, "no block device to be had: "+err.Error())
	}
	return path
}

// newLoopDevice makes a block device of memory that goes away with the process.
func newLoopDevice() (string, error) {
	ctl, err := unix.Open("/dev/loop-control", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(ctl)
	back, err := unix.MemfdCreate("block device", unix.MFD_CLOEXEC)
	if err != nil {
		return "", err
	}
	defer unix.Close(back)
	if err := unix.Ftruncate(back, loopSize); err != nil {
		return "", err
	}
	for range 20 { // another process may take the number that we were told is free
		var n, dev int
		if n, err = unix.IoctlRetInt(ctl, unix.LOOP_CTL_GET_FREE); err != nil {
			return "", err
		}
		path := "/dev/loop" + strconv.Itoa(n)
		if dev, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return "", err
		}
		config := unix.LoopConfig{Fd: uint32(back), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		if err = unix.IoctlLoopConfigure(dev, &config); err == nil {
			return path, nil // dev stays open: with its last descriptor the device lets go of its memory
		}
		unix.Close(dev)
	}
	return "", err
}
