//go:build !linux

package cmd

// withoutStop runs write. Elsewhere than on Linux a job that is put into the
// background at the very moment it draws may be stopped by `stty tostop`.
func withoutStop(write func()) { write() }
