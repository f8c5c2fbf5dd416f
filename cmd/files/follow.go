package files

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/transfer"
)

// Follows tells whether what is written can be read while it is: a regular file that has, or gets, a name.
func (p *Plan) Follows() error {
	if p.name.Path == "" || p.old != nil && !p.old.Mode().IsRegular() {
		return &exit.Usage{Text: p.name.String() + ": only a regular file can be passed on while it is received"}
	}
	return nil
}

// Reader opens an Output once more, for reading from where its next byte is written. It stays readable when
// the Output has got its name.
func (o *Output) Reader() (*transfer.Endpoint, error) {
	path := o.part
	if path == "" {
		path = o.plan.real
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, o.plan.name.problem(err)
	}
	e, err := transfer.Own(fd)
	if err != nil {
		return nil, o.plan.name.problem(err)
	}
	at := int64(0)
	if o.plan.options.Append {
		at = o.End.FileSize()
	}
	if _, err = unix.Seek(fd, at, unix.SEEK_SET); err == nil && !e.SameFile(o.End) {
		err = fmt.Errorf("another file has taken its place")
	}
	if err != nil {
		e.Close()
		return nil, o.plan.name.problem(err)
	}
	return e, nil
}
