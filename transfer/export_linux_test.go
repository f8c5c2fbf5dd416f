package transfer

import "github.com/zcp-go/zcp/transfer/internal/sock"

// Linger is SO_LINGER as a socket carries it now.
var Linger = sock.GetLinger

// SignPatience is how long a peer that has given signs of life may be silent.
var SignPatience = &signPatience

// Steady is a moment as Stats keeps it.
var Steady = steady

// CloseIdlePipes closes the pipes that the process keeps for the next one.
var CloseIdlePipes = defaultPool.CloseIdle

// Slowed tells whether t pauses before each wait.
func Slowed(t *Transfer) bool { return t.spuriousWakeups > spuriousLimit }
