//go:build linux

package main

import "strings"

// manyRows are one copy for four receivers. The far ends are the same for all tools, and those of file to TCP and
// pipe to TCP, so the processor time is that of the sender alone.
func manyRows() []row {
	four := " 127.0.0.1:PORT" + strings.Repeat(" --to 127.0.0.1:PORT", 3)
	outputs := strings.Repeat(" -O 127.0.0.1:PORT", 4)
	return []row{{
		name: "file to four receivers", about: "the far ends discard (recv with MSG_TRUNC)", net: netSink, sinks: 4,
		tools: []tool{
			{name: "zcp", command: "zcp send -q data" + four},
			{
				name: "four nc.openbsd", needs: []string{"nc.openbsd"},
				command: "sh -c 'for i in 1 2 3 4; do nc.openbsd -N 127.0.0.1 PORT < data & done; wait'",
			},
			{name: "mbuffer", command: "mbuffer -q -i data" + outputs},
		},
	}, {
		name: "pipe to four receivers", about: "the writer writes 128 KiB at a time, the far ends discard", in: true, net: netSink, sinks: 4,
		tools: []tool{
			{name: "zcp", command: "zcp send -q -" + four},
			{
				name: "tee and nc", needs: []string{"nc.openbsd"},
				command: "bash -c 'tee" + strings.Repeat(" >(nc.openbsd -N 127.0.0.1 PORT > /dev/null)", 3) + " | nc.openbsd -N 127.0.0.1 PORT'",
			},
			{name: "mbuffer", command: "mbuffer -q" + outputs},
		},
	}}
}
