package tree

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Landlock (landlock(7)): what is done with files is bound to a directory by the kernel, whatever
// names and links say. It is the second wall, behind os.Root.

// writing is every right by which something outside could change. Reading stays as it is. ABI 2
// is the first with REFER, without which no hard link could lead to another directory.
const writing = unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE |
	unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK |
	unix.LANDLOCK_ACCESS_FS_MAKE_FIFO | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER

// behindWall calls run on a thread of its own that can change nothing outside of root. said
// gets how that came out; where the kernel has no Landlock, run is called all the same.
func behindWall(root *os.Root, said func(string), run func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its restrictions
		abi, err := restrict(root)
		if err != nil {
			said("no Landlock (" + err.Error() + "): only os.Root keeps members in the directory")
		} else {
			said(fmt.Sprintf("Landlock, ABI %d: the kernel keeps members in the directory", abi))
		}
		done <- run()
	}()
	return <-done
}

// restrict puts this thread behind the wall, and returns the version of the kernel's interface.
func restrict(root *os.Root) (abi int, err error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0, errno
	}
	if abi = int(v); abi < 2 {
		return 0, fmt.Errorf("ABI %d has no hard links between directories", abi)
	}
	// Only the first member: kernels take a shorter structure for an older one.
	rights := struct{ fs uint64 }{writing}
	if abi >= 3 {
		rights.fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&rights)), unsafe.Sizeof(rights), 0)
	if errno != 0 {
		return 0, errno
	}
	defer unix.Close(int(rules))
	dir, err := root.Open(".")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	// struct landlock_path_beneath_attr is packed: eight bytes and four.
	var beneath [12]byte
	binary.NativeEndian.PutUint64(beneath[:], rights.fs)
	binary.NativeEndian.PutUint32(beneath[8:], uint32(dir.Fd()))
	if _, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, rules, unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
		return 0, errno
	}
	// Of this thread alone. Without CAP_SYS_ADMIN the kernel asks for it.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0); errno != 0 {
		return 0, errno
	}
	return abi, nil
}
