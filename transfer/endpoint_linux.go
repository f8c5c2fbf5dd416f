package transfer

import (
	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/transfer/internal/sock"
)

// pseudoFile tells whether fd lies on a file system whose files are computed when
// they are read: their size is a fiction and splice is refused by many of them
// (kernel-measured: /proc seq files are EINVAL, sysfs says 4096 bytes and gives 6).
func pseudoFile(fd int) bool {
	switch fileSystem(fd) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC,
		unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.EFIVARFS_MAGIC, unix.SELINUX_MAGIC:
		return true
	}
	return false
}

// fileSystem returns the magic number of the file system that fd lies on (statfs(2)), 0 where it does not say.
func fileSystem(fd int) int64 {
	var st unix.Statfs_t
	if sock.Retry(func() error { return unix.Fstatfs(fd, &st) }) != nil {
		return 0
	}
	return int64(uint32(st.Type)) // 32-bit systems sign it
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// deviceSize returns the bytes of a block device whose offset is at: lseek knows where it
// ends, fstat says 0.
func deviceSize(fd int, at int64) int64 {
	end, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil {
		return -1
	}
	if _, err := unix.Seek(fd, at, unix.SEEK_SET); err != nil {
		return -1
	}
	return end
}
