//go:build linux

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// A copier is a way to copy TREE to disk/copy, both ends on this host. send is what has to be told: the
// receiver is started by it, as ./receive, and has a process group of its own.
type copier struct{ needs, send, receive string }

// copiers are zcp and its peers. rsync's receiver is where it is as a rule, behind a remote shell. croc
// needs a relay, which listens on all addresses whatever it is told, so that a network namespace holds
// all of it; what it says goes to standard output; and its receiver would wait for a sender that has ended.
var copiers = map[string]copier{
	"zcp": {"zcp", "setsid sh receive & WHO zcp send --retry-for 10 TREE/ 127.0.0.1:PORT; s=$?; echo $s >sent; wait; exit $s",
		"zcp recv -q -l 127.0.0.1:PORT disk/copy/"},
	"tar and nc": {"nc.openbsd", "setsid sh receive & until ss -Hltn 'sport = :PORT' | grep -q .; do sleep 0.02; done; " +
		"WHO sh -c 'tar -C TREE -c . | nc.openbsd -N 127.0.0.1 PORT'; s=$?; echo $s >sent; wait; exit $s",
		"mkdir disk/copy; nc.openbsd -d -l 127.0.0.1 PORT | tar -C disk/copy -x"},
	"rsync": {"rsync", "WHO rsync -a -e 'setsid sh receive' TREE/ host:disk/copy/", `shift; "$@"`},
	"croc": {"croc", `ip link set lo up; export HOME=$PWD/home CROC_SECRET=a-fault-of-a-tree; mkdir -p -m 777 home
HOME=$PWD croc relay --ports PORT,PORT2,PORT3 >relay.log 2>&1 & r=$!
until ss -Hltn 'sport = :PORT3' | grep -q .; do sleep 0.02; done
WHO croc --yes --quiet --ignore-stdin --relay 127.0.0.1:PORT send --no-local TREE >&2 & s=$!
until ss -Htn 'dport = :PORT' | grep -q . || ! kill -0 $s 2>/dev/null; do sleep 0.02; done
if kill -0 $s 2>/dev/null; then setsid sh receive; fi & wait $s; s=$?; echo $s >sent; wait $!; kill $r; exit $s`,
		"mkdir disk/copy; croc --yes --quiet --ignore-stdin --relay 127.0.0.1:PORT --out disk/copy"},
}

// treeFaults are those of a directory.
func treeFaults() (all []fault) {
	if os.Geteuid() == 0 { // for another user, a file that is root's
		all = append(all, fault{
			name: "a file cannot be read", commands: treeCommands("tree", "setpriv --reuid 65534 --regid 65534 --clear-groups", ""),
			right: func(c cell) bool { return c.status == 1 && c.said && strings.HasPrefix(c.note, "3 of 4 files") },
			run:   func(b *bench, command string) (cell, error) { return b.copySmall(command, false) },
		})
	}
	// strace(1) makes the open of what was listed fail as if the file had gone between the two.
	const vanish = "strace -f -qq -o /dev/null -P second -P ./second -P tree/second -e trace=?open,openat,?openat2 -e inject=?open,openat,?openat2:error=ENOENT"
	all = append(all, []fault{{
		name: "a file vanishes between the listing and its opening", commands: treeCommands("tree", vanish, ""),
		right: func(c cell) bool { return c.status == 6 && c.said && strings.HasPrefix(c.note, "3 of 4 files") },
		run:   func(b *bench, command string) (cell, error) { return b.copySmall(command, false) },
	}, {
		name: "a file shrinks while it is sent", commands: treeCommands("tree", "", ""),
		right: func(c cell) bool { return c.status == 6 && c.said && strings.HasPrefix(c.note, "3 of 3 others") },
		run:   (*bench).copyShrinking,
	}, {
		// A file of sysfs claims 4096 bytes and has fewer, as one that has shrunk since it was opened.
		name: "files are shorter than they were", commands: treeCommands("/sys/kernel/mm/transparent_hugepage", "", ""),
		right: func(c cell) bool { return c.status == 6 && c.said },
		run: func(b *bench, command string) (cell, error) {
			c, err := b.copySmall(command, false)
			c.note, _, _ = strings.Cut(c.note, "0 of 4 files")
			c.note = strings.TrimSuffix(c.note, "; ")
			return c, err
		},
	}, {
		name: "the receiver is killed in the middle", commands: treeCommands("tree", "", ""),
		right: func(c cell) bool { return c.status == 3 && c.said && !strings.Contains(c.note, "under its name") },
		run:   (*bench).copyKilled,
	}, {
		name: "the receiver may not write a file of 2 MiB", commands: treeCommands("tree", "", "ulimit -f 1024"),
		right: func(c cell) bool { return notDone(c) && !strings.Contains(c.note, "under its name") },
		run:   func(b *bench, command string) (cell, error) { return b.copySmall(command, false) },
	}}...)
	if os.Geteuid() == 0 { // another user cannot mount
		all = append(all, fault{
			name: "the receiver's disk is full", commands: treeCommands("tree", "", ""),
			right: func(c cell) bool {
				return c.status == 3 && c.said && strings.Contains(c.note, "the receiver 1") && !strings.Contains(c.note, "under its name")
			},
			run: func(b *bench, command string) (cell, error) { return b.copySmall(command, true) },
		})
	}
	return all
}

// treeCommands returns each copier's command: the program that has to be there, the script that sends, by
// way of who, and the one that receives, behind limit; a NUL between them.
func treeCommands(tree, who, limit string) map[string]string {
	all := map[string]string{}
	for _, tool := range slices.Sorted(maps.Keys(copiers)) {
		if tool == "croc" && os.Geteuid() != 0 { // another user has no network namespace
			continue
		}
		c := copiers[tool]
		receive := "exec 2>/dev/null; echo $$ >group; " + strings.TrimPrefix(limit+"; ", "; ") + c.receive + "; echo $? >status"
		command := fmt.Sprintf("%s\n\x00%s\n\x00%s\n", c.needs, c.send, receive)
		all[tool] = strings.NewReplacer("TREE", tree, "WHO ", strings.TrimLeft(who+" ", " ")).Replace(command)
	}
	return all
}
