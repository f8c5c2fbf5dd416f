//go:build !linux

package transfer

import (
	"time"

	"golang.org/x/sys/unix"
)

func growPipe(int, int) int { return 0 }
func pipeCapacity(int) int  { return 0 }

type lowWater struct{ fd int }

const lowWaterPatience = time.Duration(0)

func newLowWater(dst, src *Endpoint) lowWater { return lowWater{} }
func (lowWater) wait(Want) bool               { return false }
func (lowWater) waited(bool)                  {}
func (lowWater) restore()                     {}

func allocatesDelayed(int) bool        { return false }
func allocate(int, int64, int64) error { return unix.ENOTSUP }
func writeOut(int)                     {}

func pipeUnread(int) int64 { return 0 }
