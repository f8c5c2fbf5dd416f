package show

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ToJournal tells whether f is the stream that systemd named in JOURNAL_STREAM, as device and
// inode (systemd.exec(5)): a redirected stderr is another one.
func ToJournal(f *os.File, stream string) bool {
	if stream == "" {
		return false
	}
	var st unix.Stat_t
	return unix.Fstat(int(f.Fd()), &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// priority is what the journal takes off the start of a line as its level (sd-daemon(3)). Lines
// without it have the level of the unit's SyslogLevel=, which is info.
func (p *Printer) priority(e Event) string {
	if !p.Journal {
		return ""
	}
	switch e.(type) {
	case *Trouble:
		return "<3>"
	case *Unreachable:
		return "<4>"
	}
	return ""
}
