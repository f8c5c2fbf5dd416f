//go:build !linux

package sock

import "golang.org/x/sys/unix"

func familyName(unix.Sockaddr) string { return "" }
