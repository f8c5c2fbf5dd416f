package atstart

// closed has bit i where descriptor i (0 to 2) was closed when the process began. The entry
// point of the program writes it, see entry_linux_amd64.s.
var closed uint32

// Closed tells whether fd is a standard descriptor that was closed when the process began
// (>&-, <&-, some daemons and cron). The runtime opens /dev/null there before main, for reading and writing, as
// a parent may have done (Python's DEVNULL): nothing that can be asked of it later tells the two
// apart. It is false for everything on systems and with versions of Go where that is not known.
func Closed(fd int) bool { return fd >= 0 && fd < 3 && closed>>fd&1 != 0 }
