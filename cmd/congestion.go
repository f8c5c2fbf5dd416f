package cmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/cmd/text"
	"github.com/zcp-go/zcp/transfer"
)

// checkCongestion refuses a --congestion that the kernel has not, or that this user may not
// choose, before anything is opened.
func checkCongestion(algorithm string) error {
	if algorithm == "" {
		return nil
	}
	err := transfer.CheckCongestion(algorithm)
	which, why := "available", ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENOENT):
		why = "the kernel does not have it"
	case errors.Is(err, unix.EPERM):
		which, why = "allowed", "it takes CAP_NET_ADMIN"
	case errors.Is(err, unix.ENOTSUP):
		return exit.Usagef("--congestion: not on this system")
	default:
		return fmt.Errorf("--congestion %s: %w", text.Quote(algorithm), exit.Cause(err))
	}
	e := exit.Usagef("--congestion %s: %s", text.Quote(algorithm), why)
	if names := transfer.Algorithms(which == "allowed"); len(names) > 0 {
		e.Text += fmt.Sprintf(" (%s: %s)", which, strings.Join(names, ", "))
	}
	return e
}

// sayCongestion tells which congestion control a connection sends with. label is that of one of
// several connections.
func sayCongestion(out *show.Printer, conn *transfer.Conn, label string) {
	if !out.Options.Explain && !out.Verbose {
		return // it is a system call
	}
	algorithm, replaced := conn.Congestion()
	if algorithm == "" {
		return
	}
	msg := "congestion control " + algorithm
	if replaced != "" {
		msg += fmt.Sprintf(": the peer is on this host, %s would pace it", replaced)
	}
	sayPlan(out, label, msg)
}

// relayCongestion is the same for all connections of a relay.
func relayCongestion(asked string) string {
	host := transfer.DefaultCongestion()
	switch {
	case asked != "":
		return "congestion control " + asked
	case transfer.Paces(host):
		return fmt.Sprintf("congestion control %s, %s towards this host, which %s would pace", host, transfer.UnpacedCongestion, host)
	case host != "":
		return "congestion control " + host
	}
	return ""
}

// shortRTT is a round trip below which pacing costs more than it can gain: there is no long queue to
// keep short. Containers of one host have 20 to 100 us (veth), a switched network 50 to 500.
const shortRTT = time.Millisecond

// pacing says how a sender was paced, and what would help where pacing was the limit: its share of
// the time was the largest, and the way to the peer is short.
func pacing(algorithm string, i transfer.TCPInfo) string {
	if algorithm == "" {
		return ""
	}
	msg := "congestion control " + algorithm
	if !transfer.Paces(algorithm) {
		return msg + ", not paced"
	}
	rate := func(n uint64) string { return text.Size(int64(min(n, 1<<62))) + "/s" }
	msg += fmt.Sprintf(", paced at %s, delivered %s, shortest RTT %s", rate(i.PacingRate), rate(i.DeliveryRate), i.MinRTT)
	if i.Busy > 0 && 2*(i.RwndLimited+i.SndLimited) < i.Busy && i.MinRTT < shortRTT {
		msg += ": pacing was the limit, --congestion " + unpaced() + " would help"
	}
	return msg
}

// unpaced names the algorithm to try: cubic, Linux's own default, where there is one.
func unpaced() string {
	if slices.Contains(transfer.Algorithms(true), "cubic") {
		return "cubic"
	}
	return transfer.UnpacedCongestion
}
