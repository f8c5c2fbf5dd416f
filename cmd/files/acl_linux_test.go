package files

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// accessList is a list that lets user 1234 read, in the form of the attribute (linux/posix_acl_xattr.h).
func accessList() []byte {
	const owner, user, group, mask, other, none = 1, 2, 4, 0x10, 0x20, 0xffffffff
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range [][3]uint32{{owner, 6, none}, {user, 4, 1234}, {group, 0, none}, {mask, 4, none}, {other, 0, none}} {
		b = binary.LittleEndian.AppendUint16(b, uint16(e[0]))
		b = binary.LittleEndian.AppendUint16(b, uint16(e[1]))
		b = binary.LittleEndian.AppendUint32(b, e[2])
	}
	return b
}

// The list of what is replaced is the new file's, with the mode that it means; what has none gets none.
func TestACLCarriedOver(t *testing.T) {
	dir := t.TempDir()
	for _, list := range [][]byte{accessList(), nil} {
		path := filepath.Join(dir, "old")
		if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
			t.Fatal(err)
		}
		if list != nil {
			if err := unix.Setxattr(path, aclName, list, 0); err != nil {
				t.Fatalf("a file system with ACLs is needed in TMPDIR: %v", err)
			}
		}
		o := begin(t, path, Options{})
		if err := o.Commit(); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1024)
		n, err := unix.Getxattr(path, aclName, got)
		if list == nil && err != unix.ENODATA || list != nil && !bytes.Equal(got[:max(n, 0)], list) {
			t.Errorf("the list is %x, %v, want %x", got[:max(n, 0)], err, list)
		}
		if notes := o.Notes(); len(notes) > 0 {
			t.Errorf("said %q", notes)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
