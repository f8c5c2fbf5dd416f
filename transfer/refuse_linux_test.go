package transfer_test

import "github.com/zcp-go/zcp/transfer"

type refusal struct{}

func (refusal) path(transfer.Path) bool { return false }
func (refusal) inMiddle() bool          { return false }

var refusing refusal
