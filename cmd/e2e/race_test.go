//go:build race

package e2e

// slowdown is what the race detector makes of a time that is promised to a neighbour.
const slowdown = 5
