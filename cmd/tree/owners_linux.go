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
type owners struct {
	users, groups map[uint32]string
	uids, gids    map[string]uint32
}

// uid is the number of the user of that name here, or the number in the header.
func (o *owners) uid(h *tar.Header) int {
	if o.uids == nil {
		o.user(0)
		o.uids = inverse(o.users)
	}
	return known(o.uids, h.Uname, h.Uid)
}

// gid is the same for the group.
func (o *owners) gid(h *tar.Header) int {
	if o.gids == nil {
		o.group(0)
		o.gids = inverse(o.groups)
	}
	return known(o.gids, h.Gname, h.Gid)
}

// known is the number of a name, otherwise id.
func known(ids map[string]uint32, name string, id int) int {
	if here, ok := ids[name]; ok && name != "" {
		return int(here)
	}
	return id
}

func inverse(names map[uint32]string) map[string]uint32 {
	ids := make(map[string]uint32, len(names))
	for id, name := range names {
		ids[name] = id
	}
	return ids
}

func (o *owners) user(id uint32) string {
	if o.users == nil {
		o.users = readNames("/etc/passwd")
	}
	return o.users[id]
}

func (o *owners) group(id uint32) string {
	if o.groups == nil {
		o.groups = readNames("/etc/group")
	}
	return o.groups[id]
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
