package cmd

import "context"

type ticker struct{}

func startTicker(*Printer, Display, *Meter, func() Snapshot) *ticker { return &ticker{} }
func (*ticker) Stop()                                                {}
func (*ticker) Shown() bool                                          { return false }

func runRelay(context.Context, *Printer, *RelayConfig) error { return nil }
