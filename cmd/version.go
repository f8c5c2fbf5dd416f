package cmd

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Build says which zcp this is. Empty fields are filled from what the Go tool
// noted in the binary.
type Build struct {
	Version string // 1.2.0
	Commit  string
	Date    string // of the commit
}

// String is the line of --version.
func (b Build) String() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		b = b.or(info)
	}
	if b.Version == "" {
		b.Version = "(devel)"
	}
	var of []string
	for _, part := range []string{b.Commit, b.Date, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH} {
		if part != "" {
			of = append(of, part)
		}
	}
	return fmt.Sprintf("zcp %s (%s)", strings.TrimPrefix(b.Version, "v"), strings.Join(of, ", "))
}

// or fills what is missing from the build's own notes.
func (b Build) or(info *debug.BuildInfo) Build {
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && b.Commit == "":
			b.Commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.time" && b.Date == "":
			b.Date = s.Value
		}
	}
	return b
}
