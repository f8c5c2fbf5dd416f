// Command zcp moves bytes between files, pipes, TCP and Unix sockets on the
// kernel's own paths and shows its progress. See zcp(1).
package main

import (
	"os"

	"github.com/zcp-go/zcp/cmd"
)

// Set by the linker of a release; see .goreleaser.yaml.
var version, commit, date string

func main() {
	os.Exit(cmd.Main(cmd.Build{Version: version, Commit: commit, Date: date}))
}
