//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/zcp-go/zcp/cmd/e2e/program"
)

// copiers send TREE to copy/, both ends on this host: the program that has to be there, and a
// script. The status and the words are the sender's.
var copiers = map[string]string{
	"zcp": "zcp\n(LIMIT; exec zcp recv -q -l 127.0.0.1:PORT copy/) 2>/dev/null & WHO zcp send --retry-for 10 TREE/ 127.0.0.1:PORT; s=$?; wait; exit $s",
	"tar and nc": "nc.openbsd\nmkdir copy; (LIMIT; nc.openbsd -d -l 127.0.0.1 PORT | tar -C copy -x) 2>/dev/null & " +
		"until ss -Hltn 'sport = :PORT' | grep -q .; do sleep 0.02; done; WHO sh -c 'tar -C TREE -c . | nc.openbsd -N 127.0.0.1 PORT'; s=$?; wait; exit $s",
	"rsync": "rsync\nLIMIT; WHO rsync -a TREE/ copy/",
}

// treeFaults are those of a directory.
func treeFaults() (all []fault) {
	if os.Geteuid() == 0 { // for another user, a file that is root's
		all = append(all, fault{
			name: "a file cannot be read", commands: treeCommands("tree", "true", "setpriv --reuid 65534 --regid 65534 --clear-groups"), right: notDone,
			run: func(b *bench, command string) (cell, error) { return b.copyTree(command, 4) },
		})
	}
	return append(all, []fault{{
		// A file of sysfs claims 4096 bytes and has fewer, as one that shrinks while it is sent.
		name: "files are shorter than they were", commands: treeCommands("/sys/kernel/mm/transparent_hugepage", "true", ""),
		right: func(c cell) bool { return c.status == 6 && c.said },
		run:   func(b *bench, command string) (cell, error) { return b.copyTree(command, 0) },
	}, {
		name: "the receiver may not write a file of 2 MiB", commands: treeCommands("tree", "ulimit -f 1024", ""), right: notDone,
		run: func(b *bench, command string) (cell, error) { return b.copyTree(command, 4) },
	}}...)
}

func treeCommands(tree, limit, who string) map[string]string {
	all := map[string]string{}
	for tool, command := range copiers {
		all[tool] = strings.NewReplacer("TREE", tree, "LIMIT", limit, "WHO ", strings.TrimLeft(who+" ", " ")).Replace(command)
	}
	return all
}

// copyTree copies a tree of four files, of which one is for root and one has 2 MiB. It notes how
// many have arrived of so many, where that is not 0.
func (b *bench) copyTree(command string, files int) (cell, error) {
	tree, arrived := filepath.Join(b.work, "tree"), filepath.Join(b.work, "copy")
	defer os.RemoveAll(tree)
	defer os.RemoveAll(arrived)
	if err := errors.Join(os.RemoveAll(arrived), os.RemoveAll(arrived+".part"), os.Mkdir(tree, 0o755)); err != nil { // other rows leave files
		return cell{}, err
	}
	for _, f := range []struct {
		name string
		size int
		mode os.FileMode
	}{{"first", 1000, 0o644}, {"large", 2 << 20, 0o644}, {"secret", 1000, 0o600}, {"second", 1000, 0o644}} {
		if err := os.WriteFile(filepath.Join(tree, f.name), make([]byte, f.size), f.mode); err != nil {
			return cell{}, err
		}
	}
	// Another user has to get here.
	if err := os.Chmod(b.work, 0o777); err != nil {
		return cell{}, err
	}
	_, script, _ := strings.Cut(command, "\n")
	script = strings.ReplaceAll(script, "PORT", strconv.Itoa(program.FreePort()))
	if err := os.WriteFile(filepath.Join(b.work, "script"), []byte(script), 0o755); err != nil {
		return cell{}, err
	}
	p, err := b.start(b.ctx, "sh script", nil, nil)
	if err != nil {
		return cell{}, err
	}
	c := p.outcome(faultLimit)
	if files > 0 {
		there, err := os.ReadDir(arrived)
		if err != nil {
			there, _ = os.ReadDir(arrived + ".part") // neither: nothing has arrived
		}
		c.note = fmt.Sprintf("%d of %d files", len(there), files)
	}
	return c, nil
}
