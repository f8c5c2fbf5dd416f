package proof

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"strings"

	"github.com/zeebo/blake3"
)

// The algorithms.
const (
	SHA256 = "sha256"
	BLAKE3 = "blake3"
)

// Size is the length in bytes of a digest of either algorithm.
const Size = 32

// New returns a hash of an algorithm; any other name than [BLAKE3] means [SHA256].
func New(alg string) hash.Hash {
	if alg == BLAKE3 {
		return blake3.New()
	}
	return sha256.New()
}

// Hex is the digest of what h was given.
func Hex(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// CheckLine is a digest as sha256sum -c and b3sum -c read it. A name that would break the line is
// escaped, and a backslash before the digest says so (sha256sum(1), b3sum(1)).
func CheckLine(digest, name string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
	if escaped != name {
		digest = `\` + digest
	}
	return digest + "  " + escaped
}
