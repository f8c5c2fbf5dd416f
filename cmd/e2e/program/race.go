//go:build race

package program

// Racing says that the race detector is on. The start of a command costs 130 ms of processor time then and 30 otherwise:
// tables of one sort of fault are then tried in part, each of their rows and columns at least once.
const Racing = true
