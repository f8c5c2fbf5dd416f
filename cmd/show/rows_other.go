//go:build !linux

package show

// claimRow finds no row: names that end with their holder are Linux's.
func claimRow(int) (row int, release func(), ok bool) { return 0, nil, false }
