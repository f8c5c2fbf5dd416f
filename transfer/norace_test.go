//go:build !race

package transfer_test

const racing = false
