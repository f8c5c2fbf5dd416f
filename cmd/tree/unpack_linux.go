package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// An Unpacker writes what a tar stream holds into a directory.
type Unpacker struct {
	Transfer *transfer.Transfer
	Src      *transfer.Endpoint
	Special  bool // make devices and FIFOs, keep setuid and setgid
	Fresh    bool // nothing was in the directory
	Owners   bool // give files their owners
	Xattrs   bool // give files and directories their extended attributes
	Count    *Count
	Report   func(error)
	Detail   func(string)

	in     *stream
	plain  plainReader
	tr     *tar.Reader // in the middle of a member that it alone knows the length of; nil: a header is next
	dirs   dirs
	failed error
	temps  int
	kept   int // bytes of attributes of directories that are not finished
	owners owners
}

// Begin reads the first block, and refuses what is not a tar stream before anything is made.
func (u *Unpacker) Begin(ctx context.Context) error {
	u.in = &stream{ctx: ctx, t: u.Transfer, src: u.Src}
	first, err := u.in.peek()
	switch {
	case err != nil:
		return err
	case len(first) == 0:
		return &exit.Failure{Status: exit.Incomplete, Err: errors.New("nothing arrived")}
	case len(first) == blockSize && (allZero(first) || checksum(first)):
		return nil
	}
	f := &exit.Failure{Status: exit.Failed, Err: errors.New("not a tar stream")}
	for magic, tool := range map[string]string{"\x1f\x8b": "gzip", "\xfd7zXZ\x00": "xz", "\x28\xb5\x2f\xfd": "zstd", "BZh": "bzip2"} {
		if bytes.HasPrefix(first, []byte(magic)) {
			f.Hint = fmt.Sprintf("it is compressed: zcp recv ... | %s -d | zcp cat -o dir/", tool)
		}
	}
	return f
}

// checksum tells whether a block is a header: its sum is in it, of bytes that count as signed or not.
func checksum(b []byte) bool {
	var want, sum int64
	if _, err := fmt.Sscanf(strings.Trim(string(b[148:156]), " \x00"), "%o", &want); err != nil {
		return false
	}
	signed := int64(0)
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
		signed += int64(int8(c))
	}
	return sum == want || signed == want
}

// Run unpacks into root. Its error ends the command; what concerned single members was reported,
// and Failed returns the worst of it.
func (u *Unpacker) Run(root *os.Root) error {
	return behindWall(root, u.Detail, func() error { return u.run(root) })
}

func (u *Unpacker) run(root *os.Root) error {
	u.dirs = dirs{root: root, done: u.finishDir}
	defer func() {
		for _, l := range u.dirs.way {
			l.f.Close() // nothing was written to it
		}
	}()
	defer u.Transfer.Under(u.in.ctx)()
	for {
		h, end, err := u.next()
		if err == io.EOF && u.in.zeros >= blockSize {
			u.dirs.leave("")
			return u.in.rest()
		}
		if err == nil {
			err = u.member(h)
		}
		switch {
		case err != nil:
		case end >= 0:
			u.tr = nil
			err = u.in.skip(end)
		case h.Size == 1: // archive/tar does not seek over a single byte
			_, err = io.Copy(io.Discard, u.tr)
		}
		if err != nil {
			return u.broken(err)
		}
	}
}

// next reads the headers of a member, and returns where in the stream the next ones are. It is -1
// where only archive/tar knows.
func (u *Unpacker) next() (h *tar.Header, end int64, err error) {
	if u.tr == nil {
		enough, err := u.in.have(blockSize)
		if enough && u.in.buf[kindAt] == tar.TypeXHeader {
			_, err = u.in.have(3 * blockSize) // its records, and the header that always stands behind it
		}
		if err != nil {
			return nil, 0, err
		}
		if h, n := u.plain.parse(u.in.buf); n > 0 {
			u.in.take(n)
			return h, u.in.taken + h.Size + padding(h.Size), nil
		}
		u.tr = tar.NewReader(u.in)
	}
	u.in.zeros = 0 // of a body: only what stands where a header does is an end mark
	if h, err = u.tr.Next(); err != nil {
		return nil, 0, err
	}
	if sparse(h) || h.Typeflag == tar.TypeXGlobalHeader {
		return h, -1, nil
	}
	return h, u.in.taken + bodySize(h) + padding(bodySize(h)), nil
}

// bodySize is how many bytes follow a header that is not of a file with holes. Some kinds have no body,
// whatever the header says (pax(1)).
func bodySize(h *tar.Header) int64 {
	switch h.Typeflag {
	case tar.TypeLink, tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeDir, tar.TypeFifo:
		return 0
	}
	return h.Size
}

// broken puts the error of a stream in words.
func (u *Unpacker) broken(err error) error {
	switch {
	case u.in.err != nil:
		return u.in.err
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		return &exit.Failure{Status: exit.Incomplete, Err: errors.New("the tar stream ended early")}
	case errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) || errors.Is(err, tar.ErrInsecurePath):
		return &exit.Failure{Status: exit.Failed, Err: errors.New("the tar stream is damaged")}
	}
	return err
}

// Failed returns the worst of what was reported, marked as reported.
func (u *Unpacker) Failed() error { return exit.Reported(u.failed) }

// Taken returns how many bytes of the stream were taken so far.
func (u *Unpacker) Taken() int64 { return u.in.taken }

func (u *Unpacker) refuse(name string, err error) {
	err = problem(name, err)
	u.failed = Worse(u.failed, err)
	u.Report(err)
}

// member unpacks one member. Its error ends the stream.
func (u *Unpacker) member(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := clean(h.Name)
	if err == nil {
		err = u.place(name, h)
	}
	if fatal, ok := errors.AsType[fatal](err); ok {
		return fatal.error
	}
	if err != nil {
		u.refuse(shortened(h.Name), err)
	} else if h.Typeflag != tar.TypeDir {
		u.Count.files.Add(1)
	}
	return nil
}

// fatal marks an error after which the rest of the stream cannot be had.
type fatal struct{ error }

func (u *Unpacker) place(name string, h *tar.Header) error {
	if h.Typeflag == tar.TypeDir {
		l, err := u.dirs.enter(name)
		if err != nil {
			return err
		}
		l.attributes(h, u)
		return nil
	}
	if name == "." {
		return errors.New("refused: it would replace the directory itself")
	}
	l, err := u.dirs.enter(path.Dir(name))
	if err != nil {
		return err
	}
	dir, base := int(l.f.Fd()), path.Base(name)
	if u.isSmall(h) {
		return u.small(l, dir, base, h)
	}
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return u.file(dir, base, h)
	case tar.TypeSymlink:
		return u.put(dir, base, func(at string) error { return u.symlink(dir, at, h) })
	case tar.TypeLink:
		return u.put(dir, base, func(at string) error { return u.hardlink(dir, at, h.Linkname) })
	case tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
		if !u.Special {
			return errors.New("a device or FIFO, left out (--special makes it)")
		}
		return u.put(dir, base, func(at string) error { return u.node(dir, at, h) })
	}
	return fmt.Errorf("unknown type of member %s", text.Quote(string(h.Typeflag)))
}

// put makes something that is not a file under its name at once: make is called with the name,
// or, where it exists, with another one that is renamed over it. A directory stays.
func (u *Unpacker) put(dir int, base string, make func(at string) error) error {
	err := make(base)
	if err != unix.EEXIST {
		return err
	}
	temp := u.temp()
	if err := make(temp); err != nil {
		return err
	}
	err = u.rename(dir, temp, base)
	// Two names of one file: rename(2) does nothing then, and the other name would stay.
	_ = unix.Unlinkat(dir, temp, 0)
	return err
}

// temp is a name that no member has had yet; O_EXCL and its like find out whether a file has it.
func (u *Unpacker) temp() string {
	u.temps++
	return fmt.Sprintf(".zcp-%d-%d.part", os.Getpid(), u.temps)
}

func (u *Unpacker) rename(dir int, temp, base string) error {
	if temp == base {
		return nil
	}
	err := unix.Renameat(dir, temp, dir, base)
	if err != nil {
		_ = unix.Unlinkat(dir, temp, 0) // it may be gone
	}
	return err
}
