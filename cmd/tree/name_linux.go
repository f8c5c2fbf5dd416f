package tree

import (
	"errors"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of names; Linux has the same (path_resolution(7)).
const (
	maxName = 4096
	maxBase = 255
)

// clean returns a member's name below dst, without "./", or why it is refused.
func clean(name string) (string, error) {
	switch {
	case len(name) > maxName:
		return "", errors.New("refused: the name has more than 4,096 bytes")
	case strings.HasPrefix(name, "/"):
		return "", errors.New("refused: an absolute name")
	case name == "":
		return "", errors.New("refused: no name")
	case strings.IndexByte(name, 0) >= 0:
		return "", errors.New("refused: a zero byte in the name")
	}
	for base := range strings.SplitSeq(name, "/") {
		if base == ".." {
			return "", errors.New("refused: .. in the name")
		}
		if len(base) > maxBase {
			return "", unix.ENAMETOOLONG
		}
	}
	return path.Clean(name), nil
}

// shortened keeps a message from being as long as a hostile name.
func shortened(name string) string {
	if len(name) > 300 {
		return name[:300] + "..."
	}
	return name
}
