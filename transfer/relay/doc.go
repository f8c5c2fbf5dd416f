// Package relay gives each client of a listener a connection of its own to a target and moves
// bytes both ways: it is the driver of many [transfer.Pump]s, as [transfer.Transfer] is the driver
// of one.
//
//	ln, err := transfer.Listen(ctx, "tcp", ":8080")
//	...
//	r := relay.Relay{Network: "tcp", Address: "backend:80", Idle: time.Minute}
//	err = r.Serve(ctx, ln)
//
// A [Relay] is its configuration; Serve begins its state. Each event loop (loop.go) has a poller, a
// heap of timers and its links. A link (link.go) is a client, its target and a flow each way; a
// flow (flow.go) is a pump and what decides how large its steps are. A link is accepted
// (accept.go), looks its target up (lookup.go), connects (dial.go, attempt.go), moves bytes, and ends (end.go). As many
// loops accept as have something to do, and a link that lasts moves once, to the loop with the fewest (share.go).
package relay
