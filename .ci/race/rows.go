//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// rows returns the work of the benchmark. What a person would type is what is raced; a
// peer that has a setting for large blocks is raced with it too.
func rows() []row {
	return slices.Concat(networkRows(), manyRows(), proofRows(), pipeRows(), treeRows(), smallRows(), relayRows())
}

// sendTools send a file to whatever reads it.
func sendTools() []tool {
	return []tool{
		{name: "zcp", command: "zcp send -q data 127.0.0.1:PORT"},
		{name: "nc.openbsd", command: "nc.openbsd -N 127.0.0.1 PORT < data"},
		{name: "ncat", command: "ncat --send-only 127.0.0.1 PORT < data"},
		{name: "socat", command: "socat -u OPEN:data TCP:127.0.0.1:PORT"},
		{name: "socat -b1M", command: "socat -u -b1048576 OPEN:data TCP:127.0.0.1:PORT"},
		{name: "pv and nc", command: "pv -q data | nc.openbsd -N 127.0.0.1 PORT", needs: []string{"nc.openbsd"}},
		{name: "mbuffer", command: "mbuffer -q -i data -O 127.0.0.1:PORT"},
		{name: "kernel: sendfile", command: "lim sendfile data PORT"},
		{name: "kernel: splice", command: "lim splice data PORT 1048576"},
	}
}

func networkRows() []row {
	return []row{{
		name: "file to TCP", about: "the far end discards (recv with MSG_TRUNC)", net: netSink,
		tools: sendTools(),
	}, {
		name: "file to TCP, the far end never sleeps", about: "it reads every byte, and spins", net: netSpin,
		tools: sendTools(),
	}, {
		name: "TCP to /dev/null", about: "the far end sends by sendfile", net: netSource,
		tools: []tool{
			{name: "zcp", command: "zcp recv -q :PORT /dev/null"},
			{name: "nc.openbsd", command: "nc.openbsd -d -l PORT > /dev/null"},
			{name: "ncat", command: "ncat --recv-only -l PORT > /dev/null"},
			{name: "socat", command: "socat -u TCP-LISTEN:PORT STDOUT > /dev/null"},
			{name: "socat -b1M", command: "socat -u -b1048576 TCP-LISTEN:PORT STDOUT > /dev/null"},
			{name: "mbuffer", command: "mbuffer -q -I PORT -o - > /dev/null"},
			{name: "kernel: splice", command: "lim recvsplice PORT /dev/null 1048576"},
		},
	}, {
		name: "TCP to a file", about: "the far end sends by sendfile", net: netSource,
		tools: []tool{
			{name: "zcp", command: "zcp recv -q :PORT COPY"},
			{name: "nc.openbsd", command: "nc.openbsd -d -l PORT > COPY"},
			{name: "ncat", command: "ncat --recv-only -l PORT > COPY"},
			{name: "socat", command: "socat -u TCP-LISTEN:PORT STDOUT > COPY"},
			{name: "socat -b1M", command: "socat -u -b1048576 TCP-LISTEN:PORT STDOUT > COPY"},
			{name: "mbuffer", command: "mbuffer -q -I PORT -o COPY"},
			{name: "kernel: splice", command: "lim recvsplice PORT COPY 1048576"},
		},
	}, {
		name: "file to file, the same tool at both ends", about: "processor time: sender + receiver", net: netReceiver,
		tools: []tool{
			{name: "zcp", command: "zcp send -q data 127.0.0.1:PORT", receiver: "zcp recv -q :PORT COPY"},
			{name: "nc.openbsd", command: "nc.openbsd -N 127.0.0.1 PORT < data", receiver: "nc.openbsd -d -l PORT > COPY"},
			{name: "ncat", command: "ncat --send-only 127.0.0.1 PORT < data", receiver: "ncat --recv-only -l PORT > COPY"},
			{name: "socat", command: "socat -u OPEN:data TCP:127.0.0.1:PORT", receiver: "socat -u TCP-LISTEN:PORT STDOUT > COPY"},
			{
				name: "socat -b1M", command: "socat -u -b1048576 OPEN:data TCP:127.0.0.1:PORT",
				receiver: "socat -u -b1048576 TCP-LISTEN:PORT STDOUT > COPY",
			},
			{name: "mbuffer", command: "mbuffer -q -i data -O 127.0.0.1:PORT", receiver: "mbuffer -q -I PORT -o COPY"},
		},
	}}
}

// proofRows tell what digests cost: of --verify, what the same transfer takes without, and that
// of a file alone.
func proofRows() []row {
	return []row{{
		name: "file to file, verified by blake3", about: "the time without --verify is a part of the time with it; processor time: sender + receiver", net: netReceiver,
		tools: []tool{
			{
				name: "zcp", command: "zcp send -q --verify --hash blake3 data 127.0.0.1:PORT",
				receiver: "zcp recv -q --verify --hash blake3 :PORT COPY",
			},
			{
				name: "sha256", command: "zcp send -q --verify data 127.0.0.1:PORT",
				receiver: "zcp recv -q --verify :PORT COPY",
			},
			{name: "without --verify", command: "zcp send -q data 127.0.0.1:PORT", receiver: "zcp recv -q :PORT COPY"},
		},
	}, {
		name: "a digest of a file", about: "the page cache is hot; sha256 where nothing else is said",
		tools: []tool{
			{name: "zcp", command: "zcp cat -q --hash sha256 data > /dev/null"},
			{name: "sha256sum", command: "sha256sum data > /dev/null"},
			{name: "openssl", command: "openssl dgst -sha256 data > /dev/null"},
			{name: "zcp, blake3", command: "zcp cat -q --hash blake3 data > /dev/null"},
			{name: "b3sum, blake3", command: "b3sum data > /dev/null"},
		},
	}}
}

func pipeRows() []row {
	cats := []tool{
		{name: "zcp", command: "zcp cat -q data"},
		{name: "pv", command: "pv -q data"},
		{name: "cat", command: "cat data"},
		{name: "mbuffer", command: "mbuffer -q -i data"},
		{name: "kernel: splice", command: "lim f2p data 1048576"},
	}
	return []row{
		{name: "file to a pipe whose reader splices", about: "the reader splices to /dev/null", out: spliceOut, tools: cats},
		{name: "file to a pipe whose reader reads", about: "the reader reads 1 MiB at a time", out: readOut, tools: cats},
		{
			name: "pipe to pipe", about: "the writer writes 128 KiB, the reader reads 1 MiB at a time", in: true, out: readOut,
			tools: []tool{
				{name: "zcp", command: "zcp cat -q"},
				{name: "pv", command: "pv -q"},
				{name: "cat", command: "cat"},
				{name: "mbuffer", command: "mbuffer -q"},
				{name: "kernel: splice", command: "lim p2p 1048576"},
			},
		},
		{
			name: "pipe to TCP", about: "the writer writes 128 KiB at a time, the far end discards", in: true, net: netSink,
			tools: []tool{
				{name: "zcp", command: "zcp send -q - 127.0.0.1:PORT"},
				{name: "nc.openbsd", command: "nc.openbsd -N 127.0.0.1 PORT"},
				{name: "ncat", command: "ncat --send-only 127.0.0.1 PORT"},
				{name: "socat", command: "socat -u STDIN TCP:127.0.0.1:PORT"},
				{name: "socat -b1M", command: "socat -u -b1048576 STDIN TCP:127.0.0.1:PORT"},
				{name: "pv and nc", command: "pv -q | nc.openbsd -N 127.0.0.1 PORT", needs: []string{"nc.openbsd"}},
				{name: "mbuffer", command: "mbuffer -q -O 127.0.0.1:PORT"},
				{name: "kernel: splice", command: "lim p2s PORT 1048576"},
			},
		},
		{
			name: "file to a file on the same disk", about: "the page cache is hot; nothing waits for the disk",
			tools: []tool{
				{name: "zcp", command: "zcp cat -q -o COPY data"},
				{name: "cp", command: "cp data COPY"},
				{name: "cat", command: "cat data > COPY"},
				{name: "pv", command: "pv -q data > COPY"},
			},
		},
	}
}

// smallRows hold the work where starting a program is all there is to it.
func smallRows() []row {
	return []row{{
		name: "4 KiB to TCP, a process each time", about: "100 transfers in turn", net: netSink, count: 100, small: true,
		tools: []tool{
			{name: "zcp", command: "zcp send -q small 127.0.0.1:PORT"},
			{name: "nc.openbsd", command: "nc.openbsd -N 127.0.0.1 PORT < small"},
			{name: "ncat", command: "ncat --send-only 127.0.0.1 PORT < small"},
			{name: "socat", command: "socat -u OPEN:small TCP:127.0.0.1:PORT"},
		},
	}, {
		name: "nothing at all", about: "200 starts in turn", count: 200,
		tools: []tool{
			{name: "zcp", command: "zcp cat -q /dev/null"},
			{name: "pv", command: "pv -q /dev/null"},
			{name: "cat", command: "cat /dev/null"},
		},
	}}
}

func relayRows() []row {
	tools := []tool{
		{name: "zcp", command: "zcp relay -q 127.0.0.1:PORT 127.0.0.1:BACK"},
		{name: "haproxy, splice", command: "haproxy -f haproxy.cfg", setup: haproxyConfig},
		{name: "nginx, stream", command: "nginx -c $PWD/nginx.conf -e stderr", setup: nginxConfig},
		{
			// It takes its listening socket from the process that starts it, and no other.
			name:    "systemd-socket-proxyd",
			command: "systemd-socket-activate -l 127.0.0.1:PORT systemd-socket-proxyd 127.0.0.1:BACK",
			needs:   []string{"systemd-socket-proxyd"},
		},
		{name: "socat", command: "socat TCP-LISTEN:PORT,fork TCP:127.0.0.1:BACK"},
		{name: "socat -b1M", command: "socat -b1048576 TCP-LISTEN:PORT,fork TCP:127.0.0.1:BACK"},
	}
	most := mostConnections()
	loops := tools[:3] // one process that waits for all; 10,000 of socat's would not fit
	one := append(slices.Clone(tools), tool{name: "kernel: splice", command: "lim relay PORT BACK 1048576"})
	const about = "one far end sends by sendfile, the other discards"
	return []row{
		{name: "relay, one connection", about: about, relay: bulk(1), tools: one},
		{name: "relay, four connections", about: about, relay: bulk(4), tools: tools},
		{name: "relay, 100 connections", about: about + "; all at once", relay: many(100, 0), tools: loops},
		{name: "relay, 1,000 connections", about: about + "; all at once", relay: many(1000, 0), tools: loops},
		{
			name: fmt.Sprintf("relay, %d connections of 1 MB", most), about: about + "; all at once", relay: many(most, 1e6),
			bytes: int64(most) * 1e6, held: most, tools: tools[:2], // nginx's buffers would be 4 GB
		},
		{
			name: "relay, 3000 short connections", about: "64 bytes there and back, 8 at a time",
			relay: short(3000, 8), count: 3000, tools: tools,
		},
		{name: "relay, four connections, behind 5,000 ports", about: about + "; the listener is one of 5,000, and the only one", relay: bulk(4), warm: true, tools: rangeTools()},
		{
			name: "relay, 3000 short connections, behind 5,000 ports", about: "64 bytes there and back, 8 at a time; likewise",
			relay: short(3000, 8), warm: true, count: 3000, tools: rangeTools(),
		},
		{name: "relay, 5000 round trips", about: "64 bytes there and back on one connection", relay: roundTrips(5000), count: 5000, tools: tools},
	}
}

// rangeTools are one relay that listens on 5,000 ports, and the same on one: the time with one is a part of the time
// with all. The port that is raced comes last; the others are on an address of their own, above those that are given out.
func rangeTools() []tool {
	return []tool{
		{name: "zcp", command: "zcp relay -q 127.31.7.4:60500-65498 127.0.0.1:BACK 127.0.0.1:PORT 127.0.0.1:BACK"},
		{name: "one port", command: "zcp relay -q 127.0.0.1:PORT 127.0.0.1:BACK"},
	}
}

// mostConnections is how many connections the largest row holds: ten thousand, or as many as a process may
// have descriptors for. HAProxy wants two and a half for each (2.6).
func mostConnections() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1000
	}
	return int(min(10000, limit.Max*3/8))
}

// haproxyConfig writes what HAProxy needs to forward TCP as fast as it can.
func haproxyConfig(dir string, port, back int) error {
	return os.WriteFile(filepath.Join(dir, "haproxy.cfg"), fmt.Appendf(nil, `global
    nbthread 1
    maxconn %d
    tune.pipesize 1048576
defaults
    mode tcp
    option splice-request
    option splice-response
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen relay
    bind 127.0.0.1:%d
    server target 127.0.0.1:%d
`, mostConnections()+100, port, back), 0o644)
}

func nginxConfig(dir string, port, back int) error {
	modules, _ := filepath.Glob("/usr/lib/nginx/modules/ngx_stream_module.so")
	load := ""
	if len(modules) > 0 {
		load = "load_module " + modules[0] + ";\n"
	}
	return os.WriteFile(filepath.Join(dir, "nginx.conf"), fmt.Appendf(nil, `%sdaemon off;
worker_processes 1;
pid %s/nginx.pid;
events { worker_connections %d; }
stream {
    proxy_buffer_size 256k;
    server {
        listen 127.0.0.1:%d;
        proxy_pass 127.0.0.1:%d;
    }
}
`, load, dir, 2*mostConnections()+100, port, back), 0o644)
}

// shown returns the command as the tables show it: the numbers are examples.
func shown(command string) string {
	return strings.NewReplacer("PORT", "9000", "BACK", "9001", "COPY", "copy", "$PWD/", "").Replace(command)
}
