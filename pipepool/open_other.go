//go:build !linux

package pipepool

import (
	"errors"
	"fmt"
	"runtime"
)

func (pl *Pool) wish() int { return DefaultSize }

// openEnds refuses: splice is Linux's.
func openEnds(int) (ends, error) {
	return ends{}, fmt.Errorf("splice on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func growEnds(e ends, _ int) int { return e.size }

func (e ends) close() {}
