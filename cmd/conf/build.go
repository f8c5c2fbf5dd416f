package conf

import (
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// This file weighs flags and operands against each other: each function makes
// the config of one command or says in an *exit.Usage why that is impossible. Nothing
// is opened yet.

func (s *settings) send(words []string) (*Send, error) {
	if len(words) < 2 {
		return nil, sendLacks(words)
	}
	files, last := words[:len(words)-1], words[len(words)-1]
	end, err := parseNet(last, s.has("listen"))
	if err != nil {
		return nil, sendLine(err, words)
	}
	sources, err := parseSources(files)
	if err != nil {
		return nil, err
	}
	for _, src := range sources {
		if err := s.require("keep-open", src.Kind != FD || src.FD != 0, "cannot serve stdin: stdin can be read only once"); err != nil {
			return nil, err
		}
	}
	if err := firstError(s.checkDisplay(), s.checkLength(), s.checkResume(sources), s.checkNet(end), s.checkTree(sources), s.checkMany(end)); err != nil {
		return nil, err
	}
	return &Send{Display: s.Display, Transfer: s.Transfer, Length: s.Length, Network: s.network(end), Tree: s.Tree, Proof: s.Proof,
		Many: s.many(), Sources: sources, Net: end, Linger: s.Linger, Resume: s.Resume}, nil
}

func (s *settings) recv(words []string) (*Recv, error) {
	if len(words) == 0 || len(words) > 2 {
		return nil, recvLacks(words)
	}
	end, err := parseNet(words[0], s.has("listen"))
	if err != nil {
		return nil, recvLine(err, words)
	}
	dest, err := parseDest(append(words, "-")[1])
	if err != nil {
		return nil, err
	}
	err = firstError(s.checkDisplay(), s.checkLength(), s.checkTakeUp(dest), s.checkNet(end), s.checkUnpack(dest), s.checkMany(end), s.require("xattrs", dest.Dir, "is for unpacking into a directory (dir/)"),
		s.require("to", dest.Kind == File, "needs the name of a file or directory to store in"),
		s.require("special", dest.Dir, "is for unpacking into a directory (dir/)"),
		s.require("append", !s.has("keep-open"), "and --keep-open cannot be used together"), s.checkOutput(dest))
	if err == nil && s.has("keep-open") && (dest.Kind != File || strings.Count(dest.Path, "%d") != 1) {
		err = exit.Usagef("--keep-open writes one file for each connection: DST must hold %%d once").WithHint("for example: zcp recv -k :9000 in-%%d.log")
	}
	if err != nil {
		return nil, err
	}
	return &Recv{Display: s.Display, Transfer: s.Transfer, Length: s.Length, Network: s.network(end),
		Output: s.Output, Proof: s.Proof, Tree: s.Tree, Many: s.many(), Net: end, Dest: dest}, nil
}

func (s *settings) cat(words []string) (*Cat, error) {
	if len(words) == 0 {
		words = []string{"-"}
	}
	sources, err := parseSources(words)
	if err != nil {
		return nil, err
	}
	dest, err := parseDest("-")
	if s.has("output") {
		dest, err = parseDest(s.output)
	}
	if err == nil {
		err = firstError(s.checkDisplay(), s.checkLength(), s.checkOutput(dest), s.checkTree(sources), s.checkUnpack(dest))
		if dest.Dir && (len(sources) > 1 || s.IsTree(sources)) && err == nil {
			err = exit.Usagef("%s: one tar stream is unpacked into a directory", dest).WithHint("to copy a directory on this machine: cp -a")
		}
	}
	if err != nil {
		return nil, err
	}
	return &Cat{Display: s.Display, Transfer: s.Transfer, Length: s.Length, Output: s.Output, Tree: s.Tree, Proof: s.Proof,
		Sources: sources, Dest: dest}, nil
}

func (s *settings) relay(words []string) (*Relay, error) {
	if len(words) == 0 || len(words)%2 != 0 {
		err := exit.Usagef("relay needs LISTEN TARGET, got %s", count(words)).WithHint("for example: zcp relay :80 app:8080")
		return nil, relayLine(err, words)
	}
	var pairs []Pair
	for i := 0; i < len(words); i += 2 {
		listen, err := parseListen(words[i])
		if err != nil {
			return nil, relayLine(err, words)
		}
		targets, err := parseTargets(words[i+1])
		if err != nil {
			return nil, relayLine(err, words)
		}
		pairs = append(pairs, Pair{listen, targets})
	}
	if err := firstError(s.checkDisplay(), s.checkRelay(pairs)); err != nil {
		return nil, err
	}
	return &Relay{Display: s.Display, Transfer: s.Transfer, Network: s.network(pairs[0].Targets[0]), Relaying: s.Relaying, Pairs: pairs}, nil
}

func (s *settings) probe(words []string) (*Probe, error) {
	if len(words) != 1 {
		return nil, exit.Usagef("probe needs NET, got %s", count(words)).WithHint("for example: zcp probe host:9000")
	}
	end, err := parseTarget(words[0])
	if err == nil {
		err = end.checkHost()
	}
	if err == nil && end.Kind != TCP && end.Kind != Unix {
		err = exit.Usagef("%s: probe connects, to HOST:PORT or unix:PATH", text.Quote(words[0]))
	}
	if err == nil {
		err = firstError(s.checkDisplay(), s.checkNet(end))
	}
	if err != nil {
		return nil, err
	}
	return &Probe{Display: s.Display, Network: s.network(end), Net: end}, nil
}

// defaultWait limits connecting.
const defaultWait = 10 * time.Second

// network is the group for a network end: without -w, connecting has a limit, and waiting
// for a client has none.
func (s *settings) network(end Operand) Network {
	n := s.Network
	if !s.has("wait") && (end.Kind == TCP || end.Kind == Unix || end.Kind == Stdio) && !end.Listen {
		n.Wait = defaultWait
	}
	return n
}

func parseSources(words []string) ([]Operand, error) {
	var sources []Operand
	for _, word := range words {
		o, err := parseSource(word)
		if err != nil {
			return nil, err
		}
		sources = append(sources, o)
	}
	return sources, nil
}

// sendLacks says which of its operands send did not get.
func sendLacks(words []string) error {
	if len(words) == 0 {
		return exit.Usagef("send needs SRC... NET").WithHint("for example: zcp send big.iso host:9000")
	}
	if end, err := parseNet(words[0], false); err == nil {
		return exit.Usagef("send needs a source before %s", end).WithHint("stdin is -: zcp send - %s", end)
	}
	return exit.Usagef("send needs a network end after %s", text.Quote(words[0])).WithHint("for example: zcp send %s host:9000, or :9000 to serve it", text.Quote(words[0]))
}

// recvLacks says what recv wants; three words may be a host and a port of nc.
func recvLacks(words []string) error {
	e := exit.Usagef("recv needs NET [DST], got %s", count(words))
	if len(words) == 3 && isHost(words[0]) && isNumber(words[1]) {
		return recvLine(e, words)
	}
	return e.WithHint("for example: zcp recv :9000 big.iso")
}

func count(words []string) string {
	switch len(words) {
	case 0:
		return "nothing"
	case 1:
		return "only " + text.Quote(words[0])
	}
	return quoted(words)
}

// maxTargets is how many network ends one stream goes to at the most.
const maxTargets = 64

// many is the group for further network ends, which are connected to.
func (s *settings) many() Many {
	m := s.Many
	if len(m.To) > 0 {
		m.Next = s.network(m.To[0])
		m.Next.Allow, m.Next.Deny = nil, nil // of a listener
	}
	return m
}

// checkMany checks the flags of several network ends, of which the operand is one.
func (s *settings) checkMany(end Operand) error {
	if len(s.To) >= maxTargets {
		return exit.Usagef("--to: at most %d network ends", maxTargets)
	}
	seen := map[int]bool{}
	for _, to := range append([]Operand{end}, s.To...) {
		if to.Kind == FD && seen[to.FD] {
			return exit.Usagef("--to: %s is one connection, and is named twice", to)
		}
		seen[to.FD] = seen[to.FD] || to.Kind == FD
	}
	return firstError(s.exclusive("to", "keep-open"), s.exclusive("to", "skip"), s.require("drop-slow", len(s.To) > 0, "needs --to"))
}
