package conf

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/text"
)

// parseSwitch reads the value of a switch, which only the environment and
// --quiet=false have.
func parseSwitch(word string) (bool, error) {
	switch strings.ToLower(word) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", word)
}

func setIPv4(v *values, _ string) error { v.Family = 4; return nil }
func setIPv6(v *values, _ string) error { v.Family = 6; return nil }

// setSize reads SIZE or @FILE, behind ~ an estimate.
func setSize(v *values, word string) (err error) {
	word, v.Estimate = strings.CutPrefix(word, "~")
	if name, ok := strings.CutPrefix(word, "@"); ok {
		if v.Size, err = fileSize(name); err != nil {
			err = fmt.Errorf("%s: %w", text.Quote(name), exit.Cause(err))
		}
		return err
	}
	v.Size, err = text.ParseSize(word)
	return err
}

func setRateLimit(v *values, word string) (err error) {
	v.RateLimit, err = text.ParseRate(word)
	return err
}

func setRateTotal(v *values, word string) (err error) {
	v.RateTotal, err = text.ParseRate(word)
	return err
}

func setName(v *values, word string) error {
	if word == "" || text.Unseen(word) {
		return fmt.Errorf("%q does not show on a terminal", word)
	}
	v.Name = word
	return nil
}

// fileSize returns the size of a regular file or a block device. Nothing else
// is opened: a FIFO would wait.
func fileSize(name string) (int64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return info.Size(), nil
	case mode.Type() != fs.ModeDevice:
		return 0, errors.New("neither a file nor a block device")
	}
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	// It was only read from: nothing can be lost by closing it.
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}

// The pipe sizes that -B takes: a page, and the largest that a int32 argument of
// F_SETPIPE_SZ (fcntl(2)) rounds up to a power of two.
const (
	minBuffer = 4 << 10
	maxBuffer = 1 << 30
)

func setBufferSize(v *values, word string) error {
	n, err := text.ParseSize(word)
	if err == nil && (n < minBuffer || n > maxBuffer) {
		err = fmt.Errorf("%q is not between %s and %s", word, text.Size(minBuffer), text.Size(maxBuffer))
	}
	v.BufferSize = int(n)
	return err
}

func setOutput(v *values, word string) error {
	if word == "" {
		return errors.New("a file name cannot be empty")
	}
	v.output = word
	return nil
}

// setExclude reads patterns, which are joined by what no argument can hold.
func setExclude(v *values, word string) error {
	v.Exclude = strings.Split(word, "\x00")
	for _, glob := range v.Exclude {
		if _, err := path.Match(glob, ""); err != nil || glob == "" {
			return fmt.Errorf("invalid pattern %q", glob)
		}
	}
	return nil
}

// setTo reads network ends, which are joined by what no argument can hold.
func setTo(v *values, word string) error {
	v.To = nil
	for _, to := range strings.Split(word, "\x00") {
		end, err := parseNet(to, false)
		if err != nil {
			return err
		}
		if end.Listen {
			return fmt.Errorf("%s listens, and a further end is connected to: HOST%s", end, end)
		}
		v.To = append(v.To, end)
	}
	return nil
}

func setHash(v *values, word string) error {
	if word != "sha256" && word != "blake3" {
		return fmt.Errorf("%q is not one of sha256, blake3", word)
	}
	v.Hash = word
	return nil
}

// setExpect reads a digest; those of both algorithms have 32 bytes.
func setExpect(v *values, word string) error {
	b, err := hex.DecodeString(word)
	if err != nil || len(b) != 32 {
		return fmt.Errorf("%q is not a digest of 64 hexadecimal digits", word)
	}
	v.Expect = hex.EncodeToString(b)
	return nil
}

func setMaxConns(v *values, word string) (err error) {
	v.MaxConns, err = strconv.Atoi(word)
	if err != nil || v.MaxConns < 1 {
		return fmt.Errorf("invalid number of connections %q", word)
	}
	return nil
}

// minInterval keeps the line from costing more than it shows.
const minInterval = 10 * time.Millisecond

func setInterval(v *values, word string) (err error) {
	v.Interval, err = text.ParseDuration(word)
	if err == nil && v.Interval < minInterval {
		err = fmt.Errorf("%q is less than %v", word, minInterval)
	}
	return err
}

func setBind(v *values, word string) (err error) {
	if port, ok := strings.CutPrefix(word, ":"); ok && isNumber(port) {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("port %s is not between 1 and 65535", port)
		}
		v.Bind = netip.AddrPortFrom(netip.Addr{}, uint16(n))
		return nil
	}
	if v.Bind, err = netip.ParseAddrPort(word); err == nil {
		return nil
	}
	alone := word
	if strings.HasPrefix(word, "[") && strings.HasSuffix(word, "]") {
		alone = word[1 : len(word)-1]
	}
	addr, err := netip.ParseAddr(alone)
	if err != nil {
		return fmt.Errorf("invalid address %q (use 10.0.0.1, 10.0.0.1:9000, :9000, fe80::1%%eth0, [::1]:9000)", word)
	}
	v.Bind = netip.AddrPortFrom(addr, 0)
	return nil
}

// classes are the names of traffic classes: RFC 2474, 2597, 3246, 5865 and 8622.
func classes() map[string]int {
	return map[string]int{
		"cs0": 0, "cs1": 8, "cs2": 16, "cs3": 24, "cs4": 32, "cs5": 40, "cs6": 48, "cs7": 56, "le": 1, "va": 44, "ef": 46,
		"af11": 10, "af12": 12, "af13": 14, "af21": 18, "af22": 20, "af23": 22, "af31": 26, "af32": 28, "af33": 30, "af41": 34, "af42": 36, "af43": 38,
	}
}

func setDSCP(v *values, word string) error {
	n, ok := classes()[strings.ToLower(word)]
	if !ok {
		var err error
		if n, err = strconv.Atoi(word); err != nil || n < 0 || n > 63 {
			return fmt.Errorf("%q is not a traffic class (use cs1, le, af11, ef, or 0 to 63)", word)
		}
	}
	v.DSCP = n
	return nil
}

func setSocketMode(v *values, word string) error {
	n, err := strconv.ParseUint(word, 8, 32)
	if err != nil || n == 0 || n > 0o777 {
		return fmt.Errorf("%q is not a mode in octal digits (use 0660, 0600, 0666)", word)
	}
	v.SocketMode = os.FileMode(n)
	return nil
}

// maxCongestion is TCP_CA_NAME_MAX without the zero byte: the kernel cuts longer names off.
const maxCongestion = 15

func setCongestion(v *values, word string) error {
	if word == "" || len(word) > maxCongestion || strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("%q is not the name of an algorithm", word)
	}
	v.Congestion = word
	return nil
}

func setSendProxy(v *values, word string) error {
	if word != "v1" && word != "v2" {
		return fmt.Errorf("%q is not one of v1, v2", word)
	}
	v.SendProxy = int(word[1] - '0')
	return nil
}

// setAcceptProxy reads a list of networks, among which unix stands for the peers of Unix sockets.
func setAcceptProxy(v *values, word string) (err error) {
	var networks []string
	v.From = Proxies{}
	for _, w := range strings.Split(word, ",") {
		if w = strings.TrimSpace(w); w == "unix" {
			v.From.Unix = true
		} else {
			networks = append(networks, w)
		}
	}
	if len(networks) > 0 {
		v.From.Networks, err = parseNetworks(strings.Join(networks, ","))
	}
	return err
}

func setTakeover(v *values, word string) error {
	o, err := parseNet(word, true)
	if err == nil && o.Kind != Unix {
		err = fmt.Errorf("%q: want unix:PATH", word)
	}
	v.Takeover = &o
	return err
}

func setStats(v *values, word string) error {
	o, err := parseNet(word, true)
	if err != nil {
		return err
	}
	if o.Kind != TCP && o.Kind != Unix {
		return fmt.Errorf("%q: want unix:PATH or [HOST]:PORT", word)
	}
	if o.Kind == TCP && o.Host == "" {
		o.Host = "127.0.0.1" // totals are not for the whole world unless that is said
	}
	v.Stats = &o
	return nil
}

// parseNetworks reads a list of networks and single addresses. Bits beyond the
// prefix are dropped, IPv4 in IPv6 becomes IPv4.
func parseNetworks(words string) ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, word := range strings.Split(words, ",") {
		word = strings.TrimSpace(word)
		p, err := netip.ParsePrefix(word)
		if addr, alone := netip.ParseAddr(word); alone == nil && addr.Zone() == "" {
			p, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("invalid network %q (use 10.0.0.0/8, 2001:db8::/32, 192.168.1.5)", word)
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}
