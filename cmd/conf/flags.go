package conf

import (
	"strings"
)

// command is a set of commands; one bit each, in the order help lists them.
type command uint8

const (
	send command = 1 << iota
	recv
	cat
	relay
	probe
)

const (
	every   = send | recv | cat | relay // that move bytes
	network = send | recv | relay
	oneWay  = send | recv | cat
	all     = every | probe
)

// String lists the commands of a set.
func (c command) String() string {
	var names []string
	for _, name := range commandNames {
		if c&commandOf(name) != 0 {
			names = append(names, name)
		}
	}
	if last := len(names) - 1; last > 0 {
		return strings.Join(names[:last], ", ") + " and " + names[last]
	}
	return strings.Join(names, "")
}

// does lists the commands of a set, with the verb that follows them.
func (c command) does() string {
	if c&(c-1) == 0 {
		return c.String() + " does"
	}
	return c.String() + " do"
}

// The groups of flags, in the order help shows them.
const (
	groupDisplay  = "What is shown"
	groupTransfer = "How much and how fast"
	groupFiles    = "Files"
	groupTrees    = "Trees"
	groupProof    = "Proof"
	groupNetwork  = "Network"
	groupTimes    = "Time limits"
)

var groups = []string{groupDisplay, groupTransfer, groupFiles, groupTrees, groupProof, groupNetwork, groupTimes}

// The two flags that every command understands and that take no part in a
// transfer.
var (
	helpOption    = option{name: "help", letter: "h", in: all}
	versionOption = option{name: "version", letter: "V", in: all}
)

// newTable binds all options to v. There is one piece of memory for them: each piece more is a page more that
// every start touches first.
func newTable(v *values) table {
	t := make(table, 0, 64) // as many as there are, or nearly
	return t.displayOptions(v).transferOptions(v).fileOptions(v).proofOptions(v).networkOptions(v).relayOptions(v).timeOptions(v)
}

// displayOptions are about what is shown of what is moved.
func (t table) displayOptions(v *values) table {
	return append(t, table{
		{name: "quiet", letter: "q", in: all, group: groupDisplay, usage: "errors only", to: &v.Quiet},
		{name: "verbose", letter: "v", in: all, group: groupDisplay,
			usage: "say what is happening: connected, path chosen, fallbacks", where: map[command]string{probe: "say why an attempt failed"},
			to: &v.Verbose},
		{name: "force", letter: "f", in: oneWay, group: groupDisplay,
			usage: "show the progress line even if stderr is not a terminal, or stdout is one",
			to:    &v.Force},
		{name: "numeric", letter: "n", in: oneWay, group: groupDisplay,
			usage: "print one number per update: percent, or bytes where the size is unknown",
			to:    &v.Numeric},
		{name: "interval", letter: "i", arg: "DUR", in: oneWay, group: groupDisplay,
			usage: "time between updates", def: "100ms on a terminal, else 1s", set: setInterval},
		{name: "json", in: all, group: groupDisplay, usage: "events as one JSON object per line instead of text",
			to: &v.JSON},
		{name: "explain", in: every, group: groupDisplay,
			usage: "before: the path planned and why; after: what really ran",
			to:    &v.Explain},

		{name: "delay", letter: "D", arg: "DUR", in: oneWay, group: groupDisplay, usage: "no progress line before this long",
			to: &v.Delay},
		{name: "name", arg: "TEXT", in: all, group: groupDisplay,
			usage: "stands before the line and in messages; those of one pipeline that have one take a row each",
			where: map[command]string{relay: "stands in messages and in events", probe: "stands in messages and in events"}, set: setName},
		{name: "bits", in: every, group: groupDisplay, usage: "show rates in bits per second", to: &v.Bits},
		{name: "log-time", in: all, group: groupDisplay, usage: "the time before every line of text", to: &v.LogTime},
	}...)
}

// transferOptions are about how much is moved, and how fast.
func (t table) transferOptions(v *values) table {
	return append(t, table{
		{name: "size", letter: "s", arg: "SIZE", in: oneWay, group: groupTransfer,
			usage: "the size to expect, @FILE for that of FILE: gives percent and ETA; fewer bytes are exit 3; ~SIZE is an estimate, and never an error",
			set:   setSize},
		{name: "stop-at-size", letter: "S", in: oneWay, group: groupTransfer, usage: "stop after --size bytes",
			to: &v.StopAtSize},
		{name: "skip", arg: "SIZE", in: send | cat, group: groupTransfer, usage: "begin this far into SRC", to: &v.Skip},
		{name: "rate-limit", letter: "L", arg: "SIZE", in: every, group: groupTransfer,
			usage: "limit in bytes per second; 100Mbit for bits",
			where: map[command]string{relay: "limit in bytes per second, for each connection and direction; 100Mbit for bits"}, set: setRateLimit},
		{name: "rate-total", arg: "SIZE", in: relay, group: groupTransfer,
			usage: "limit in bytes per second for all connections together", set: setRateTotal},
		{name: "buffer-size", letter: "B", arg: "SIZE", in: every, group: groupTransfer,
			usage: "pipe size, as far as the kernel grants it", def: "1M", set: setBufferSize},
		{name: "no-splice", letter: "C", in: every, group: groupTransfer, usage: "read and write through memory",
			to: &v.NoSplice},
	}...)
}

// fileOptions are about files and trees at either end.
func (t table) fileOptions(v *values) table {
	return append(t, table{
		{name: "output", letter: "o", arg: "FILE", in: cat, group: groupFiles, usage: "write to FILE instead of stdout", set: setOutput},
		{name: "append", letter: "a", in: recv | cat, group: groupFiles, usage: "append to the file", to: &v.Append},
		{name: "no-clobber", in: recv | cat, group: groupFiles, usage: "refuse to overwrite", to: &v.NoClobber},
		{name: "sync", in: recv | cat, group: groupFiles, usage: "fsync before saying done", to: &v.Sync},

		{name: "tar", in: send | cat, group: groupTrees,
			usage: "files and directories as one tar stream, under their base names", to: &v.Tar},
		{name: "exclude", arg: "GLOB", in: send | cat, group: groupTrees, list: true, join: "\x00",
			usage: "leave out names, or paths if it holds a slash; may be repeated", set: setExclude},
		{name: "one-file-system", letter: "x", in: send | cat, group: groupTrees,
			usage: "leave out other file systems", to: &v.OneFileSystem},
		{name: "no-same-owner", in: recv | cat, group: groupTrees,
			usage: "as root: do not give unpacked files their owners", to: &v.AnyOwner},
		{name: "special", in: oneWay, group: groupTrees,
			usage: "send FIFOs and devices too", to: &v.Special, where: map[command]string{
				recv: "unpack FIFOs and devices too, and keep setuid and setgid",
				cat:  "FIFOs and devices too; unpacking keeps setuid and setgid"}},
		{name: "xattrs", in: oneWay, group: groupTrees, usage: "extended attributes and ACLs too", to: &v.Xattrs},
	}...)
}

// proofOptions are about what the bytes are.
func (t table) proofOptions(v *values) table {
	return append(t, table{
		{name: "hash", arg: "ALG", in: oneWay, group: groupProof,
			usage: "say the digest of what passed: sha256 or blake3", set: setHash},
		{name: "expect", arg: "HEX", in: recv | cat, group: groupProof,
			usage: "the digest that what arrives must have, otherwise exit 4; of --hash, else sha256", set: setExpect},
		{name: "verify", in: send | recv, group: groupProof,
			usage: "at both ends: recv says the digest of what it has stored, send exits with 4 if it is another or none", to: &v.Verify},
		{name: "resume", in: send | recv, group: groupProof,
			usage: "go on where DST.part ends; with --retry-for also after a break", to: &v.Resume},
	}...)
}

// networkOptions are about the connection.
func (t table) networkOptions(v *values) table {
	return append(t, table{
		{name: "listen", letter: "l", in: send | recv, group: groupNetwork,
			usage: "listen on HOST:PORT or unix:PATH instead of connecting to it"},
		{name: "keep-open", letter: "k", in: send | recv, group: groupNetwork,
			usage: "serve every client", to: &v.KeepOpen,
			where: map[command]string{recv: "write one file for each connection; its name holds %d"}},
		{name: "to", arg: "NET", in: send | recv, group: groupNetwork, list: true, join: "\x00",
			usage: "send to this network end too; may be repeated", set: setTo,
			where: map[command]string{recv: "pass on to this network end what is stored; may be repeated"}},
		{name: "max-conns", letter: "m", arg: "N", in: network, group: groupNetwork,
			usage: "maximum number of connections with --keep-open", where: map[command]string{relay: "maximum number of connections"}, def: "from the descriptor limit", set: setMaxConns},
		{name: "allow", arg: "CIDR,...", in: network, group: groupNetwork, list: true,
			usage: "addresses that may connect", def: "all", to: &v.Allow},
		{name: "deny", arg: "CIDR,...", in: network, group: groupNetwork, list: true,
			usage: "addresses that may not connect", to: &v.Deny},
		{name: "bind", arg: "[ADDR][:PORT]", in: network | probe, group: groupNetwork, usage: "source address, or only source port, when connecting", set: setBind},
		{name: "dscp", arg: "NAME|0-63", in: network, group: groupNetwork,
			usage: "traffic class of the connection, for instance cs1 for what may wait",
			where: map[command]string{relay: "traffic class of the connections"}, set: setDSCP},
		{name: "socket-mode", arg: "MODE", in: network, group: groupNetwork,
			usage: "mode of a Unix socket that is made, for instance 0660", def: "by the umask", set: setSocketMode},
		{name: "congestion", arg: "ALG", in: send | relay, group: groupNetwork,
			usage: "congestion control of the connection", where: map[command]string{relay: "congestion control of the connections"}, def: "the host's, but unpaced on this host", set: setCongestion},
		{name: "4", letter: "4", in: network | probe, group: groupNetwork, usage: "IPv4 only", set: setIPv4},
		{name: "6", letter: "6", in: network | probe, group: groupNetwork, usage: "IPv6 only", set: setIPv6},
		{name: "N", letter: "N", in: send | recv, group: groupNetwork,
			usage: "accepted for compatibility with nc: closing at the end is the default"},
	}...)
}

// relayOptions are about the network ends of a relay alone.
func (t table) relayOptions(v *values) table {
	return append(t, table{
		{name: "send-proxy", arg: "v1|v2", in: relay, group: groupNetwork,
			usage: "send targets a PROXY header with the client's address", set: setSendProxy},
		{name: "accept-proxy", arg: "CIDR,...|unix", in: relay, group: groupNetwork, list: true,
			usage: "peers that must say a PROXY header: it names the client", set: setAcceptProxy},
		{name: "takeover", arg: "unix:PATH", in: relay, group: groupNetwork,
			usage: "take the listeners of the relay that serves PATH, then serve it", set: setTakeover},
		{name: "as-client", in: relay, group: groupNetwork,
			usage: "connect from the client's own address (needs CAP_NET_ADMIN)", to: &v.AsClient},
		{name: "spread", in: relay, group: groupNetwork, usage: "let several targets (a:80,b:80) take turns", to: &v.Spread},
		{name: "stats", arg: "unix:PATH|[HOST]:PORT", in: relay, group: groupNetwork,
			usage: "serve totals and connections as JSON (/) and for Prometheus (/metrics)", set: setStats},
	}...)
}

// timeOptions are limits of time.
func (t table) timeOptions(v *values) table {
	return append(t, table{
		{name: "wait", letter: "w", arg: "DUR", in: network | probe, group: groupTimes,
			usage: "limit for connecting (default: 10s), or for the receiver to connect (default: for ever)", to: &v.Wait,
			where: map[command]string{
				recv:  "limit for connecting (default: 10s), or for the sender to connect (default: for ever)",
				relay: "limit for connecting to the target (default: 10s)",
				probe: "limit for connecting (default: 10s)"}},
		{name: "retry-for", arg: "DUR", in: network | probe, group: groupTimes, usage: "keep trying to connect this long; with --resume, again after each break",
			where: map[command]string{relay: "keep trying to connect this long", probe: "keep trying to connect this long"},
			to:    &v.RetryFor},
		{name: "idle", arg: "DUR", in: network, group: groupTimes, usage: "give up after this long without a byte either way",
			where: map[command]string{relay: "end a connection after this long without a byte either way"},
			to:    &v.Idle},
		{name: "drop-slow", arg: "DUR", in: send, group: groupTimes,
			usage: "with --to from a pipe: reset a receiver that alone held up the others this long",
			to:    &v.DropSlow},
		{name: "linger", arg: "DUR", in: send, group: groupTimes,
			usage: "when all is acknowledged, wait this long for the peer to close", def: "10s",
			to: &v.Linger},
		{name: "half-close", arg: "DUR", in: relay, group: groupTimes,
			usage: "how long a half-closed connection may stay silent", def: "5m",
			to: &v.HalfClose},
		{name: "drain", arg: "DUR", in: relay, group: groupTimes,
			usage: "on SIGTERM, how long connections may go on", def: "until they end",
			to: &v.Drain},
		{name: "grace", arg: "DUR", in: relay, group: groupTimes,
			usage: "on SIGTERM, how long to go on accepting before --drain", def: "0",
			to: &v.Grace},
		{name: "exit-idle", arg: "DUR", in: relay, group: groupTimes,
			usage: "exit after this long without a connection",
			to:    &v.ExitIdle},
	}...)
}
