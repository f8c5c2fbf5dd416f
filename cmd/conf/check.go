package conf

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

func (s *settings) checkDisplay() error {
	return firstError(
		s.exclusive("quiet", "verbose"), s.exclusive("quiet", "force"), s.exclusive("quiet", "numeric"),
		s.exclusive("quiet", "explain"), s.exclusive("numeric", "json"),
		s.exclusive("json", "log-time"))
}

func (s *settings) checkLength() error {
	return firstError(
		s.require("stop-at-size", s.has("size"), "needs --size"),
		s.require("stop-at-size", !s.Estimate, "needs an exact --size"))
}

func (s *settings) checkOutput(dest Operand) error {
	return firstError(
		s.exclusive("append", "no-clobber"),
		s.require("append", dest.Kind == File, "needs the name of a file to write"),
		s.require("no-clobber", dest.Kind == File, "needs the name of a file to write"))
}

// checkTree refuses sources that cannot be one tar stream, and the flags of trees without one.
func (s *settings) checkTree(sources []Operand) error {
	for _, src := range sources {
		switch {
		case src.Dir && !s.Tar && len(sources) > 1:
			return exit.Usagef("%s: a directory among several sources needs --tar", src)
		case s.Tar && src.Kind != File:
			return exit.Usagef("--tar: %s has no name to be stored under", src)
		}
	}
	tree := s.IsTree(sources)
	if err := s.require("skip", len(sources) == 1 && !tree, "is for one SRC that is not a directory"); err != nil {
		return err
	}
	special := tree || s.has("output") && strings.HasSuffix(s.output, "/")
	err := firstError(
		s.require("stop-at-size", !tree, "cannot cut a tar stream"),
		s.require("exclude", tree, "is for a directory (dir/) or --tar"),
		s.require("one-file-system", tree, "is for a directory (dir/) or --tar"),
		s.require("special", special, "is for a directory (dir/) or --tar"),
		s.require("xattrs", special, "is for a directory (dir/) or --tar"))
	if err != nil || !s.Tar {
		return err
	}
	return checkBaseNames(sources)
}

// checkUnpack weighs a DST that is a directory, and what only such a DST has.
func (s *settings) checkUnpack(dest Operand) error {
	return firstError(
		s.require("append", !dest.Dir, "cannot append to a directory"),
		s.require("stop-at-size", !dest.Dir, "cannot cut a tar stream"),
		s.require("keep-open", !dest.Dir, "writes files, not directories"),
		s.require("expect", !dest.Dir, "is not for unpacking: what is refused by its end is unpacked already"),
		s.require("no-same-owner", dest.Dir, "is for unpacking into a directory (dir/)"))
}

// checkResume refuses sources that cannot be sent from a place in the middle.
func (s *settings) checkResume(sources []Operand) error {
	one := len(sources) == 1 && sources[0].Kind == File && !s.IsTree(sources)
	return firstError(
		s.require("resume", one, "needs one regular file to send"),
		s.require("resume", !s.has("to"), "and --to cannot be used together"),
		s.require("resume", !s.has("skip"), "and --skip cannot be used together"),
		s.require("resume", !s.StopAtSize, "and --stop-at-size cannot be used together"))
}

// checkTakeUp refuses a DST that is not written as a .part that can be taken up.
func (s *settings) checkTakeUp(dest Operand) error {
	return firstError(
		s.require("resume", dest.Kind == File && !dest.Dir, "needs the name of a file to write"),
		s.require("resume", !s.Append, "and --append cannot be used together"),
		s.require("resume", !s.KeepOpen, "and --keep-open cannot be used together"),
		s.require("resume", !s.StopAtSize, "and --stop-at-size cannot be used together"))
}

// checkBaseNames refuses sources that would have no name in the stream, or the same one.
func checkBaseNames(sources []Operand) error {
	seen := map[string]Operand{}
	for _, src := range sources {
		base := path.Base(src.Path)
		if base == "." || base == ".." || base == "/" {
			return exit.Usagef("--tar: %s has no name to be stored under", src).WithHint("for the contents of a directory: %s/ without --tar", strings.TrimRight(src.String(), "/"))
		}
		if other, twice := seen[base]; twice {
			return exit.Usagef("--tar: %s and %s would have the same name", other, src)
		}
		seen[base] = src
	}
	return nil
}

// checkNet checks the flags of send and recv that depend on what their network
// end is. A descriptor or a socket from systemd may be anything.
func (s *settings) checkNet(end Operand) error {
	given := end.Kind == FD || end.Kind == SD
	connects := !end.Listen && !given
	return firstError(
		s.require("listen", !given, "is for HOST:PORT and unix:PATH, a socket that exists knows whether it listens"),
		s.require("keep-open", !connects, "needs a listener (:PORT, or --listen)"),
		s.require("max-conns", s.has("keep-open"), "needs --keep-open"),
		s.require("allow", !connects, "is for a listener"), s.require("deny", !connects, "is for a listener"),
		s.require("allow", end.Kind != Unix, "is for TCP, a Unix socket has no addresses"),
		s.require("deny", end.Kind != Unix, "is for TCP, a Unix socket has no addresses"),
		s.require("bind", connects && end.Kind == TCP || len(s.To) > 0, "is for connecting to HOST:PORT"),
		s.require("retry-for", connects || len(s.To) > 0 || s.Resume && !s.KeepOpen, "is for connecting, or for --resume"),
		s.require("congestion", end.Kind != Unix, "is for TCP"), s.require("dscp", end.Kind != Unix, "is for TCP"),
		s.require("socket-mode", end.Listen && end.Kind == Unix && !end.Abstract(), "is for listening on unix:PATH"),
		s.require("4", end.Kind == TCP, "is for TCP"), s.require("6", end.Kind == TCP, "is for TCP"),
		s.checkFamily(end))
}

func (s *settings) checkRelay(pairs []Pair) error {
	one, listensTCP, targetTCP, connects, maybe := false, false, false, false, false
	var errs []error
	for _, p := range pairs {
		one = one || p.Listen.Kind == Stdio
		listensTCP = listensTCP || p.Listen.Kind != Stdio && p.Listen.Kind != Unix
		maybe = maybe || maybeTCP(p.Listen)
		errs = append(errs, s.checkFamily(p.Listen))
		for _, t := range p.Targets {
			one = one || t.Kind == Stdio
			targetTCP = targetTCP || t.Kind == TCP
			connects = connects || t.Kind == TCP || t.Kind == Unix
			maybe = maybe || maybeTCP(t)
			errs = append(errs, s.checkFamily(t), checkTarget(t, p.Listen.Kind == Stdio), checkLoop(p.Listen, t), checkRange(p.Listen, t))
		}
	}
	if err := checkOne(pairs, one); err != nil {
		return err
	}
	return firstError(append([]error{
		s.require("max-conns", !one, "has no effect with - (a single connection)"),
		s.require("half-close", !one, "does not apply to -"), s.require("drain", !one, "does not apply to -"), s.require("grace", !one, "does not apply to -"),
		s.require("exit-idle", !one, "does not apply to -"), s.require("stats", !one, "does not apply to -"),
		s.require("spread", !one, "does not apply to -"),
		s.require("as-client", !one, "does not apply to -"), s.exclusive("as-client", "bind"),
		s.require("as-client", targetTCP, "is for connecting to HOST:PORT"),
		s.require("takeover", !one, "does not apply to -"), s.require("send-proxy", !one, "does not apply to -"), s.require("accept-proxy", !one, "does not apply to -"),
		s.require("allow", listensTCP || s.From.Unix, "is for TCP, others have no addresses"),
		s.require("deny", listensTCP || s.From.Unix, "is for TCP, others have no addresses"),
		s.require("bind", targetTCP, "is for connecting to HOST:PORT"),
		s.require("retry-for", connects, "is for connecting"),
		s.require("congestion", maybe, "is for TCP"), s.require("dscp", maybe, "is for TCP"),
		s.require("socket-mode", s.makesFile(pairs), "is for listening on unix:PATH"),
	}, errs...)...)
}

// makesFile tells whether a relay listens on a Unix socket that has a file, be it for --stats.
func (s *settings) makesFile(pairs []Pair) bool {
	return slices.ContainsFunc(pairs, func(p Pair) bool { return MakesFile(p.Listen) }) || s.Stats != nil && MakesFile(*s.Stats)
}

// MakesFile tells whether listening on an operand makes the file of a Unix socket.
func MakesFile(op Operand) bool { return op.Kind == Unix && !op.Abstract() }

// checkOne refuses - among other ends: it is one connection.
func checkOne(pairs []Pair, one bool) error {
	switch p := pairs[0]; {
	case !one:
		return nil
	case p.Listen.Kind == Stdio && p.Targets[0].Kind == Stdio:
		return exit.Usagef("relay from - to -: that is zcp cat")
	case len(pairs) > 1 || len(p.Targets) > 1 || p.Listen.Ports > 1 || p.Targets[0].Ports > 1:
		return exit.Usagef("- is a single connection: it takes one LISTEN and one TARGET")
	}
	return nil
}

// checkRange refuses a range to one of another length.
func checkRange(listen, target Operand) error {
	if target.Ports > 0 && target.Ports != max(listen.Ports, 1) {
		return exit.Usagef("%s has %s and %s has %d: a range goes to one port, or to a range of the same length",
			listen, text.Counted(int64(max(listen.Ports, 1)), "port"), target, target.Ports)
	}
	return nil
}

// maybeTCP tells whether an end is TCP, or a socket from outside that may be.
func maybeTCP(end Operand) bool { return end.Kind == TCP || end.Kind == FD || end.Kind == SD }

// checkTarget refuses a connection that exists already where each client needs its own.
func checkTarget(target Operand, one bool) error {
	if target.Kind == FD && !one {
		return exit.Usagef("%s: the target is connected to anew for each client, a descriptor is one connection: zcp relay - %s", target, target)
	}
	return nil
}

// checkFamily refuses -4 for an address of IPv6 and the like.
func (s *settings) checkFamily(end Operand) error {
	if err := s.exclusive("4", "6"); err != nil {
		return err
	}
	addr, err := netip.ParseAddr(end.Host)
	literal := err == nil && end.Kind == TCP
	for _, only := range []struct {
		flag   string
		is6    bool
		family string
	}{{"4", false, "IPv4"}, {"6", true, "IPv6"}} {
		if !s.has(only.flag) {
			continue
		}
		if literal && addr.Is6() != only.is6 {
			return exit.Usagef("-%s: %s is not an %s address", only.flag, end, only.family)
		}
		if bind := s.Bind.Addr(); bind.IsValid() && bind.Unmap().Is6() != only.is6 {
			return exit.Usagef("-%s: --bind %s is not an %s address", only.flag, bind, only.family)
		}
	}
	if s.Bind.Addr().IsValid() && literal && addr.Is6() != s.Bind.Addr().Is6() {
		return exit.Usagef("--bind %s and %s are of different families", s.Bind.Addr(), end)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
