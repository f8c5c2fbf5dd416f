package tree

import (
	"archive/tar"
	"fmt"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxSpans bounds the map of a file with holes; a file with more is sent with its zeros.
const maxSpans = 32 << 10

// spans returns the parts of a file that are not holes, in the units of the file system, or nil
// where there are none to be left out (lseek(2), SEEK_DATA). The last span may be empty: it tells
// where the file ends.
func spans(fd int, size int64) []span {
	data := []span{}
	for at := int64(0); at < size; {
		start, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if err == unix.ENXIO { // a hole up to the end
			break
		}
		if err != nil || start >= size || len(data) == maxSpans {
			return nil
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil
		}
		end = min(end, size)
		data = append(data, span{start, end - start})
		at = end
	}
	if len(data) == 1 && data[0] == (span{0, size}) {
		return nil
	}
	if n := len(data); n == 0 || data[n-1].off+data[n-1].n < size {
		data = append(data, span{size, 0})
	}
	return data
}

// sparse adds the member of a file with holes, and keeps fd or closes it, in GNU's format 1.0: the map stands in decimal
// lines before the data, and the real name and size are records.
func (w *walker) sparse(fd int, name string, st *unix.Stat_t, data []span) error {
	var size int64
	table := strconv.AppendInt(nil, int64(len(data)), 10)
	table = append(table, '\n')
	for _, s := range data {
		table = fmt.Appendf(table, "%d\n%d\n", s.off, s.n)
		size += s.n
	}
	table = append(table, make([]byte, padding(int64(len(table))))...)
	// This name is for programs that do not know the format. The comment makes sure that there
	// is an extended header.
	h := w.header(path.Join(path.Dir(name), "GNUSparseFile.0", path.Base(name)), st, tar.TypeReg, "", int64(len(table))+size)
	h.PAXRecords["comment"] = "a file with holes"
	headers, err := w.encode(fd, h)
	if err != nil {
		unix.Close(fd)
		return err
	}
	w.b.buf = append(w.b.buf, withRecords(headers,
		record("GNU.sparse.major", "1"), record("GNU.sparse.minor", "0"),
		record("GNU.sparse.name", name), record("GNU.sparse.realsize", strconv.FormatInt(st.Size, 10)))...)
	w.b.buf = append(w.b.buf, table...)
	w.b.large = large{name: name, fd: fd, data: data, size: size}
	return nil
}

// record is a record of an extended header: its own length in decimal, a space, key=value, a newline.
func record(key, value string) string {
	body := " " + key + "=" + value + "\n"
	n := len(body)
	for len(strconv.Itoa(n))+len(body) != n {
		n = len(strconv.Itoa(n)) + len(body)
	}
	return strconv.Itoa(n) + body
}

// withRecords adds records to the extended header that stands before the last block of headers.
func withRecords(headers []byte, records ...string) []byte {
	x, main := headers[:blockSize], headers[len(headers)-blockSize:]
	n, _ := number(x[gidEnd:sizeEnd]) // archive/tar wrote it
	body := append([]byte{}, headers[blockSize:blockSize+n]...)
	for _, r := range records {
		body = append(body, r...)
	}
	x = append([]byte{}, x...)
	octal(x[gidEnd:sizeEnd], uint64(len(body)))
	seal(x)
	body = append(body, make([]byte, padding(int64(len(body))))...)
	return append(append(x, body...), main...)
}
