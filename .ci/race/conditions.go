//go:build linux

package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// congestionFile holds the congestion control that this host gives to new TCP sockets.
const congestionFile = "/proc/sys/net/ipv4/tcp_congestion_control"

// word returns the only word of a file of the kernel's, "unknown" where there is none.
func word(name string) string {
	text, _ := os.ReadFile(name)
	if s := strings.TrimSpace(string(text)); s != "" {
		return s
	}
	return "unknown"
}

// fileSystem names what the files lie on, as stat(1) does.
func (b *bench) fileSystem() string {
	name, _ := exec.Command("stat", "--file-system", "--format=%T", b.work).Output()
	return cmp.Or(strings.TrimSpace(string(name)), "unknown")
}

// congestions returns the algorithms to race under: those asked for, or cubic and bbr where the
// kernel has both and this user may set them, or what the host has.
func (b *bench) congestions() []string {
	host := word(congestionFile)
	if b.under != "" {
		return strings.Split(b.under, ",")
	}
	there := strings.Fields(word("/proc/sys/net/ipv4/tcp_available_congestion_control"))
	both := []string{"cubic", "bbr"}
	if slices.ContainsFunc(both, func(name string) bool { return !slices.Contains(there, name) }) || unix.Access(congestionFile, unix.W_OK) != nil {
		return []string{host}
	}
	return both
}

// setCongestion makes an algorithm the host's.
func setCongestion(name string) error {
	if word(congestionFile) == name {
		return nil
	}
	if err := os.WriteFile(congestionFile, []byte(name), 0o644); err != nil {
		return fmt.Errorf("congestion control %s: %w", name, err)
	}
	return nil
}

// raceUnder races a row under each algorithm that makes a difference to it. The host has its own
// back afterwards, also when a signal has ended the race.
func (b *bench) raceUnder(r row) {
	host := word(congestionFile)
	if r.net == noNet && r.relay == nil {
		b.race(r)
		return
	}
	defer func() {
		if err := setCongestion(host); err != nil {
			b.wrong("put back: %v", err)
		}
	}()
	all := b.congestions()
	for _, name := range all {
		if b.ctx.Err() != nil {
			return
		}
		if err := setCongestion(name); err != nil {
			b.wrong("%v", err)
			continue
		}
		under := r
		under.name += ", " + name
		b.race(under)
	}
}

// warm touches as many bytes of memory as a run will write, and gives them back: the host of a
// virtual machine takes free pages away, and the first touch of a page of 4 KiB costs 1.7 to 7.6 us.
func warm(size int64) error {
	m, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	for at := 0; at < len(m); at += os.Getpagesize() {
		m[at] = 1
	}
	return unix.Munmap(m)
}

// governor says how the processor's clock is governed; a virtual machine does not know.
func governor() string { return word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") }
