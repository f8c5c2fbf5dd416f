package tree

import (
	"archive/tar"
	"io"
	"os"
	"strconv"
	"strings"
)

// owners are the names of users and groups. They are read from the files, not by getpwuid(3): zcp
// is static, and has no cgo. Users of a directory service are sent by number alone.
type owners struct{ users, groups names }

func (o *owners) user(id uint32) string  { return o.users.of("/etc/passwd")[id] }
func (o *owners) group(id uint32) string { return o.groups.of("/etc/group")[id] }

// uid is the number of the user of that name here, or the number in the header.
func (o *owners) uid(h *tar.Header) int { return o.users.number("/etc/passwd", h.Uname, h.Uid) }

// gid is the same for the group.
func (o *owners) gid(h *tar.Header) int { return o.groups.number("/etc/group", h.Gname, h.Gid) }

// names are those of one file, read when the first of them is asked for.
type names struct {
	byID map[uint32]string
	ids  map[string]uint32
}

func (n *names) of(file string) map[uint32]string {
	if n.byID == nil {
		n.byID = readNames(file)
	}
	return n.byID
}

// number is the number of a name, otherwise id.
func (n *names) number(file, name string, id int) int {
	if n.ids == nil {
		n.ids = make(map[string]uint32, len(n.of(file)))
		for id, name := range n.byID {
			n.ids[name] = id
		}
	}
	if here, ok := n.ids[name]; ok && name != "" {
		return int(here)
	}
	return id
}

// maxNames is how much of passwd(5) and group(5) is read.
const maxNames = 8 << 20

// readNames reads name:password:number lines. Without the file there are no names.
func readNames(file string) map[uint32]string {
	names := map[uint32]string{}
	f, err := os.Open(file)
	if err != nil {
		return names
	}
	defer f.Close()
	// What can be read of it serves as well.
	all, _ := io.ReadAll(io.LimitReader(f, maxNames))
	for line := range strings.Lines(string(all)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 4)
		if len(fields) < 3 {
			continue
		}
		id, err := strconv.ParseUint(fields[2], 10, 32)
		if _, known := names[uint32(id)]; err == nil && !known {
			names[uint32(id)] = fields[0]
		}
	}
	return names
}
