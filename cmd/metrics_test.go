package cmd

import (
	"strings"
	"testing"

	"github.com/zcp-go/zcp/transfer/relay"
)

// TestMetricsLabels quotes what the name of a socket file may hold.
func TestMetricsLabels(t *testing.T) {
	var b exposition
	b.table([]relay.ConnInfo{{ID: 7, Peer: "unix", Target: "unix:a\"b\\c\nd\xff\u00e9", Up: 3}})
	want := `zcp_relay_connection_up_bytes_total{id="7",peer="unix",target="unix:a\"b\\c\nd` + "\uFFFD\u00e9" + `"} 3` + "\n"
	if msg := b.String(); !strings.Contains(msg, want) {
		t.Errorf("got %s\nwant %s", msg, want)
	}
}
