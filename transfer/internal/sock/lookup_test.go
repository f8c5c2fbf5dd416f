package sock

import (
	"net"
	"os"
	"testing"
)

// A name server that cannot be reached is named, and not the sockets by which it was asked.
func TestLookUpInWords(t *testing.T) {
	if _, err := os.Stat(resolvConf); err != nil {
		t.Skip("NOT TESTED: no " + resolvConf)
	}
	for said, want := range map[string]string{
		"dial udp 10.255.255.53:53: connect: network is unreachable":           "the name server 10.255.255.53 cannot be reached: network is unreachable",
		"read udp 127.0.0.1:37854->10.255.255.53:53: read: connection refused": "the name server 10.255.255.53 cannot be reached: connection refused",
		"server misbehaving": "server misbehaving",
	} {
		err := inWords(&net.DNSError{Err: said, Server: "10.255.255.53:53", Name: "nosuch"})
		if got := err.(*net.DNSError).Err; got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
