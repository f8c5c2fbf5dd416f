package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// blockSize is the unit of a tar stream: headers are one block, bodies are padded to blocks.
const blockSize = 512

// padding returns how many zeros follow a body of n bytes.
func padding(n int64) int64 { return -n & (blockSize - 1) }

// add adds the header of a member that has no body, or whose body is added next.
func (w *walker) add(fd int, name string, st *unix.Stat_t, kind byte, to string, size int64) error {
	if kind == tar.TypeReg && !w.Xattrs {
		var plain bool
		if w.b.buf, plain = appendPlain(w.b.buf, name, w.owners.user(st.Uid), w.owners.group(st.Gid), st); plain {
			return nil
		}
	}
	headers, err := w.encode(fd, w.header(name, st, kind, to, size))
	w.b.buf = append(w.b.buf, headers...)
	return err
}

// encode has archive/tar write a header, with the extended attributes of fd if they are wanted.
func (w *walker) encode(fd int, h *tar.Header) ([]byte, error) {
	if w.Xattrs && fd >= 0 {
		if err := addXattrs(h, fd); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(h); err != nil {
		return nil, errors.New("cannot be put into a tar stream: " + strings.TrimPrefix(err.Error(), "archive/tar: "))
	}
	return b.Bytes(), nil
}

func (w *walker) header(name string, st *unix.Stat_t, kind byte, to string, size int64) *tar.Header {
	h := &tar.Header{PAXRecords: map[string]string{}, Format: tar.FormatPAX, Typeflag: kind, Name: name, Linkname: to, Size: size,
		Mode: int64(st.Mode & 0o7777), Uid: int(st.Uid), Gid: int(st.Gid),
		Uname: w.owners.user(st.Uid), Gname: w.owners.group(st.Gid), ModTime: time.Unix(st.Mtim.Unix())}
	if kind == tar.TypeChar || kind == tar.TypeBlock {
		h.Devmajor, h.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev)))
	}
	if !utf8.ValidString(name) || !utf8.ValidString(to) {
		// pax(1): names are UTF-8 unless this says otherwise. GNU tar ignores it, libarchive obeys.
		h.PAXRecords["hdrcharset"] = "BINARY"
	}
	return h
}

// maxXattrs bounds the extended attributes of a member, in bytes; Linux allows 64 KiB each.
const maxXattrs = 512 << 10

// addXattrs adds extended attributes in the records of GNU tar, bsdtar and star.
func addXattrs(h *tar.Header, fd int) error {
	list := make([]byte, 64<<10) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(fd, list)
	if err == unix.ENOTSUP || n == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	total := 0
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for _, name := range strings.Split(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		n, err := unix.Fgetxattr(fd, name, value)
		if err == unix.ENODATA { // removed just now
			continue
		}
		if err != nil {
			return fmt.Errorf("extended attribute %s: %w", strconv.Quote(name), err)
		}
		if total += len(name) + n; total > maxXattrs {
			return errors.New("more than 512 KiB of extended attributes")
		}
		h.PAXRecords["SCHILY.xattr."+name] = string(value[:n])
	}
	return nil
}
