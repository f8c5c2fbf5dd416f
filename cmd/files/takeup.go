package files

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer"
)

// errForeign is why a .part is not taken up.
var errForeign = errors.New("it belongs to another user, or has a second name")

// takeUpLocked opens what an earlier attempt has left at path, or creates it, and locks it, to be
// written at its end. It is taken up only if it is a regular file of this user under this name alone:
// any other may be a trap, or be wanted as it is by another process.
func takeUpLocked(path string, mode uint32) (fd int, refused, err error) {
	const flags = unix.O_RDWR | unix.O_NOFOLLOW
	for range 100 {
		fd, err := open(path, flags|unix.O_NONBLOCK, 0)
		created := err == unix.ENOENT
		if created {
			fd, err = open(path, flags|unix.O_CREAT|unix.O_EXCL, mode)
		}
		if err == unix.EEXIST { // another process was faster
			continue
		}
		if err != nil {
			return -1, nil, err
		}
		err = lock(fd)
		switch {
		case err != nil && !lockRefused(err):
		case !isRegular(fd):
			err = unix.EEXIST
		case foreign(fd):
			err = errForeign
		case err != nil && !created:
			err = noLock(err) // its writer may live
		case sameName(fd, path):
			return fd, err, nil
		default: // renamed or removed meanwhile
			unix.Close(fd)
			continue
		}
		unix.Close(fd)
		return -1, nil, err
	}
	return -1, nil, unix.EWOULDBLOCK
}

// openLocked makes the .part, or takes up an old one where that was asked for.
func (p *Plan) openLocked(path string, mode uint32) (fd int, refused, err error) {
	if p.options.Resume {
		return takeUpLocked(path, mode)
	}
	return createLocked(path, p.access(), mode)
}

// foreign tells whether a file is another user's, or has more than one name.
func foreign(fd int) bool {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(fd, &st) })
	return err != nil || int(st.Uid) != os.Geteuid() || st.Nlink > 1
}

// ViaPart tells whether DST is written beside, under another name, and renamed.
func (p *Plan) ViaPart() bool { return p.viaPart }

// PartName is the .part in the user's words.
func (o *Output) PartName() string { return o.called }

// ToEnd has the next byte written behind the last, and returns how many there are. The error is
// that of lseek(2).
func (o *Output) ToEnd() (int64, error) {
	n := o.End.FileSize()
	return n, o.End.MoveTo(n)
}

// ReadAt reads what is stored (io.ReaderAt), where it was opened for reading as well.
func (o *Output) ReadAt(b []byte, at int64) (int, error) { return At(o.End).ReadAt(b, at) }

// At reads a regular file without moving its offset.
func At(e *transfer.Endpoint) io.ReaderAt { return fileAt{e} }

type fileAt struct{ e *transfer.Endpoint }

func (f fileAt) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		m := 0
		err := again(func() (err error) { m, err = unix.Pread(f.e.FD(), b[n:], at+int64(n)); return err })
		if err != nil {
			return n, os.NewSyscallError("pread", err)
		}
		if m == 0 {
			return n, io.EOF
		}
		n += m
	}
	return n, nil
}
