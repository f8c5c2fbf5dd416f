package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// xattrRecord is how GNU tar, bsdtar and star call a record with an extended attribute.
const xattrRecord = "SCHILY.xattr."

// keptXattrs bounds, in bytes, the attributes of directories that are kept until all that is in
// them is there: a default ACL would be inherited by what is made in it.
const keptXattrs = 16 << 20

// xattrs takes the extended attributes out of a header, in the order of their names.
func (u *Unpacker) xattrs(h *tar.Header) (list []xattr, size int) {
	if !u.Xattrs {
		return nil, 0
	}
	for key, value := range h.PAXRecords {
		name, ok := strings.CutPrefix(key, xattrRecord)
		if !ok {
			continue
		}
		if class, _, _ := strings.Cut(name, "."); (class == "trusted" || class == "security") && !u.Special {
			u.Detail(fmt.Sprintf("%s: %s dropped (--special keeps it)", text.Quote(shortened(h.Name)), text.Quote(name)))
			continue
		}
		list = append(list, xattr{name, value})
		size += len(name) + len(value)
	}
	slices.SortFunc(list, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return list, size
}

type xattr struct{ name, value string }

// setXattrs gives an open file or directory its attributes. One that the file system refuses does
// not stop the others.
func setXattrs(fd int, list []xattr) error {
	var failed []error
	for _, x := range list {
		if err := again(func() error { return unix.Fsetxattr(fd, x.name, []byte(x.value), 0) }); err != nil {
			failed = append(failed, fmt.Errorf("extended attribute %s: %w", strconv.Quote(x.name), exit.Cause(err)))
		}
	}
	if len(failed) > 1 {
		return fmt.Errorf("%w, and %d more", failed[0], len(failed)-1)
	}
	return errors.Join(failed...)
}
