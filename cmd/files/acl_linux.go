package files

import (
	"errors"

	"golang.org/x/sys/unix"
)

// aclName is where a POSIX ACL is kept (acl(5)).
const aclName = "system.posix_acl_access"

// keepACL gives an open file the access control list of what lies at path, if it has one. The mode is that of
// the list then. Where none can be had there is none to lose: EOPNOTSUPP, ENODATA, and old sandboxes.
func keepACL(fd int, path string) error {
	list := make([]byte, 1024)
	n, err := unix.Getxattr(path, aclName, list)
	if err == unix.ERANGE {
		list = make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err = unix.Getxattr(path, aclName, list)
	}
	switch {
	case errors.Is(err, unix.ERANGE), errors.Is(err, unix.EIO):
		return err
	case err != nil:
		return nil
	}
	return unix.Fsetxattr(fd, aclName, list[:n], 0)
}
