package conf

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const summary = "moves bytes between files, pipes and sockets, and shows its progress"

// helpWidth is how wide a line of help may be: that of the oldest terminal.
const helpWidth = 80

// page is what the help of one command says beside its flags.
type page struct {
	name     string
	summary  string
	usage    string
	operands string
	examples string
}

var pages = []page{
	{
		name:    "send",
		summary: "bytes from files or stdin to the network",
		usage:   "zcp send [flags] SRC... NET",
		operands: `
  SRC    a file, - for stdin, fd:N, zero: (zeros without end);
         a directory, dir/: its contents as a tar stream
  NET    HOST:PORT connects, :PORT listens; unix:PATH, unix:@NAME, fd:N, sd:NAME`,
		examples: `
  zcp send big.iso host:9000          push; the other side runs
                                      zcp recv :9000 big.iso, or nc -l
  zcp send big.iso :9000              serve it once; the other side runs
                                      zcp recv host:9000 big.iso, or nc
  tar c dir | zcp send - host:9000    from a pipe
  zcp send photos/ host:9000          a directory; the other side runs
                                      nc -l 9000 | tar x
  zcp send -L 10M big.iso host:9000   at most 10 MiB per second`,
	},
	{
		name:    "recv",
		summary: "bytes from the network to a file or stdout",
		usage:   "zcp recv [flags] NET [DST]",
		operands: `
  NET    :PORT listens, HOST:PORT connects; unix:PATH, unix:@NAME, fd:N, sd:NAME
  DST    a file, written as DST.part and renamed when it is complete;
         - for stdout (the default), fd:N, null: (keeps nothing);
         a directory, dir/: a tar stream is unpacked into it`,
		examples: `
  zcp recv :9000 big.iso              wait for a sender
  zcp recv host:9000 big.iso          pull it from zcp send big.iso :9000
  zcp recv :9000 photos/              unpack zcp send photos/ host:9000,
                                      or tar c . | nc -N host 9000
  zcp recv :9000 | tar x              to a pipe
  zcp recv -k :9000 in-%d.log         one file for each connection`,
	},
	{
		name:    "cat",
		summary: "bytes from files or stdin to stdout, watched",
		usage:   "zcp cat [flags] [SRC...]",
		operands: `
  SRC    a file, - for stdin (the default), fd:N, zero: (zeros without end);
         a directory, dir/: its contents as a tar stream`,
		examples: `
  zcp cat big.iso | gzip > big.gz     as pv does, with percent and ETA
  zcp cat -o copy.iso big.iso         to a file
  ssh h cat f | zcp cat -s 3120M > f  a pipe of known size: percent and ETA
  tar c dir | zcp cat -s~4G > d.tar   about 4 GiB: less or more is not an error
  zcp cat -qL 1M log | consumer       only to slow it down`,
	},
	{
		name:    "relay",
		summary: "both ways between two network ends",
		usage:   "zcp relay [flags] LISTEN TARGET...",
		operands: `
  LISTEN  always listens: :PORT, HOST:PORT, unix:PATH, unix:@NAME, fd:N, sd:NAME
  TARGET  always connects, for each of many connections at once: HOST:PORT,
          unix:PATH, unix:@NAME; its name is looked up each time.
          a:80,b:80: in order, the next where one cannot be reached
  PORT    may be a range, :8000-8099 app:8000-8099; several pairs may follow
  -       in either place: stdin and stdout as one end that goes both ways`,
		examples: `
  zcp relay :80 app:8080              every client here talks to app
  zcp relay :5432 unix:/run/db.sock   TCP to a Unix socket
  zcp relay :80 a:8080,b:8080 :443 a:8443   a spare target; two pairs
  zcp relay - host:22                 as nc -N host 22, or ssh's ProxyCommand
  zcp relay --stats :9100 :80 app:80  totals for Prometheus`,
	},
	{
		name:    "probe",
		summary: "whether a port takes connections",
		usage:   "zcp probe [flags] NET",
		operands: `
  NET    HOST:PORT, unix:PATH, unix:@NAME`,
		examples: `
  zcp probe host:9000                 exit status 0, or 1 refused, 5 silent
  zcp probe --retry-for 1m db:5432    wait until it does
  zcp probe -q -w 2 localhost:8080    for the health check of a container`,
	},
	{
		name:    "completion",
		summary: "the completion file of a shell, on stdout",
		usage:   "zcp completion bash|zsh|fish",
		examples: `
  eval "$(zcp completion bash)"       in ~/.bashrc
  source <(zcp completion zsh)        in ~/.zshrc, after compinit
  zcp completion fish | source        in ~/.config/fish/config.fish
The packages install these files.`,
	},
}

// Help returns the text of zcp --help.
func Help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "zcp %s\n\nUsage\n", summary)
	for _, p := range pages {
		fmt.Fprintf(&b, "  %-33s %s\n", p.usage, p.summary)
	}
	b.WriteString(`  zcp help COMMAND                  its operands and flags, with examples
  zcp --version

Examples
  zcp recv :9000 big.iso            on one side, then on the other:
  zcp send big.iso host:9000        the file, as fast as the kernel moves it
  zcp cat big.iso | gzip > big.gz   watched: percent, rate, time left
  zcp relay :80 app:8080            a port in front of another

Where bytes come from and go to
  FILE, - (stdin, stdout), fd:N     inherited file descriptors
  HOST:PORT, [V6]:PORT              connects; with -l it listens
  :PORT                             listens, :0 picks a port and prints it
  unix:PATH, unix:@NAME             Unix sockets
  sd:, sd:NAME                      sockets from systemd
In relay - is both ways at once, as one end.

Data is the only thing on stdout; what zcp says is on stderr. More: man zcp
`)
	return b.String()
}

// commandHelp is the text of zcp help COMMAND.
func commandHelp(name string) string {
	p := pages[slices.IndexFunc(pages, func(p page) bool { return p.name == name })]
	var b strings.Builder
	fmt.Fprintf(&b, "zcp %s: %s\n\nUsage: %s\n", name, p.summary, p.usage)
	if p.operands != "" {
		fmt.Fprintf(&b, "%s\n", p.operands)
	}
	if in := commandOf(name); in != 0 {
		for _, group := range groups {
			b.WriteString(groupHelp(group, in))
		}
		if in&every != 0 {
			b.WriteString(notes)
		} else {
			b.WriteString(probeNotes)
		}
	}
	fmt.Fprintf(&b, "\nExamples%s\n", p.examples)
	return b.String()
}

const notes = `
SIZE   4096, 64k, 1.5G, 2GiB (powers of 1024), 10MB (powers of 1000)
DUR    5, 0.2, 500ms, 2m, 1m30s; a bare number is seconds
Flags may stand anywhere, -- ends them. Every long flag can come from the
environment: ZCP_RATE_LIMIT=10M is --rate-limit 10M.
Exit status: 0 done, 1 I/O error, 2 usage, 3 incomplete, 5 timeout,
6 the source changed meanwhile.
`

const probeNotes = `
DUR    5, 0.2, 500ms, 2m, 1m30s; a bare number is seconds
Exit status: 0 it does, 1 refused, 2 usage, 5 no answer.
`

// groupHelp lists the flags of one group that a command has.
func groupHelp(group string, in command) string {
	var b strings.Builder
	for _, o := range newTable(new(values)) {
		if o.group != group || o.in&in == 0 {
			continue
		}
		if b.Len() == 0 {
			fmt.Fprintf(&b, "\n%s\n", group)
		}
		b.WriteString(o.help(in))
	}
	return b.String()
}

// helpColumn is where the list of flags says what they do; the flags start at 2.
const helpColumn = 27

// help is the option in the list of flags.
func (o *option) help(in command) string {
	head := "      " + o.String()
	switch {
	case o.name == o.letter:
		head = "  -" + o.letter
	case o.letter != "":
		head = "  -" + o.letter + ", --" + o.name
	}
	if o.arg != "" {
		head += " " + o.arg
	}
	usage := cmp.Or(o.where[in], o.usage)
	if o.def != "" {
		usage += " (default: " + o.def + ")"
	}
	if len(head) > helpColumn-2 {
		head += "\n"
	}
	return head + fold(usage, len(head), helpColumn, helpWidth)
}

// fold writes words in a column; at is where the row they start in ends.
func fold(word string, at, column, width int) string {
	if at > column-2 {
		at = 0 // the head took a row for itself
	}
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", column-at))
	row := column
	for i, word := range strings.Fields(word) {
		switch {
		case i > 0 && row+1+len(word) > width:
			b.WriteString("\n" + strings.Repeat(" ", column))
			row = column
		case i > 0:
			b.WriteByte(' ')
			row++
		}
		b.WriteString(word)
		row += len(word)
	}
	return b.String() + "\n"
}
