package conf

import "github.com/zcp-go/zcp/cmd/exit"

// maxTargets is how many network ends one stream goes to at the most.
const maxTargets = 64

// many is the group for further network ends, which are connected to.
func (s *settings) many() Many {
	m := s.Many
	if len(m.To) > 0 {
		m.Next = s.network(m.To[0])
		m.Next.Allow, m.Next.Deny = nil, nil // of a listener
	}
	return m
}

// checkMany checks the flags of several network ends, of which the operand is one.
func (s *settings) checkMany(end Operand) error {
	if len(s.To) >= maxTargets {
		return exit.Usagef("--to: at most %d network ends", maxTargets)
	}
	seen := map[int]bool{}
	for _, to := range append([]Operand{end}, s.To...) {
		if to.Kind == FD && seen[to.FD] {
			return exit.Usagef("--to: %s is one connection, and is named twice", to)
		}
		seen[to.FD] = seen[to.FD] || to.Kind == FD
	}
	return firstError(s.exclusive("to", "keep-open"), s.exclusive("to", "skip"), s.require("drop-slow", len(s.To) > 0, "needs --to"))
}
