//go:build !race

package program

// Racing says that the race detector is on.
const Racing = false
