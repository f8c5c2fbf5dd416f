package cmd

import (
	"context"
	"fmt"
	"io"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/files"
	"github.com/zcp-go/zcp/cmd/proof"
	"github.com/zcp-go/zcp/cmd/show"
	"github.com/zcp-go/zcp/transfer"
)

// A proofOf is what is to be proved of a job's bytes, and what is known of them.
type proofOf struct {
	alg    string // of the digest; empty: none is computed
	say    bool   // the digest is said
	expect string // what it must be, in hex; empty: anything
	name   string // of the file, for the line that sha256sum -c reads
	digest string // set when everything has moved

	verify   bool            // by a receipt
	verified bool            // the receipt is right
	members  bool            // what is stored are the members of an archive
	whole    *proof.Follower // hashes the whole file where only a part of it moves
}

// prove has the job's bytes hashed as they move, where that was asked for.
func (j *job) prove(p conf.Proof, sources []conf.Operand, tree bool) {
	j.proof = proofOf{alg: p.Algorithm(), say: p.Hash != "", expect: p.Expect, name: "-", verify: p.Verify}
	if len(sources) == 1 && !tree {
		j.proof.name = checkName(fileName(sources[0]))
	}
	if j.proof.alg != "" {
		j.d.t.Digest = proof.New(j.proof.alg)
	}
}

// checkName is a file's name as sha256sum -c opens it; - for what has none.
func checkName(n files.Name) string {
	if n.Path == "" {
		return "-"
	}
	return n.Path
}

// checkDigest compares the digest of what has moved with the one expected.
func (j *job) checkDigest() error {
	if j.proof.alg == "" {
		return nil
	}
	j.takeDigest()
	if j.proof.expect == "" || j.proof.expect == j.proof.digest {
		return nil
	}
	return &exit.Failure{Status: exit.Unproven, Err: fmt.Errorf("%s: not what was expected: its %s is %s", j.to, j.proof.alg, j.proof.digest)}
}

// sayDigest says the digest of a transfer that ended well.
func (j *job) sayDigest() {
	if !j.proof.say {
		return
	}
	j.takeDigest()
	j.out.Emit(&show.Digest{Hash: j.proof.alg, Digest: j.proof.digest, Name: j.proof.name,
		Check: proof.CheckLine(j.proof.digest, j.proof.name)})
}

// takeDigest takes the digest of what has moved, unless it is known already.
func (j *job) takeDigest() {
	if j.d.t.Digest != nil {
		j.proof.digest = proof.Hex(j.d.t.Digest)
	}
}

// follow has a whole file hashed, beside the mover, where only a part of it moves, and in several attempts. upTo returns how
// much of it is there.
func (j *job) follow(file io.ReaderAt, upTo func() int64) {
	if j.proof.alg != "" {
		j.d.t.Digest = nil
		j.proof.whole = proof.Follow(j.proof.alg, file, upTo)
	}
}

// unfollow ends what follow began. The file may be closed afterwards.
func (j *job) unfollow() {
	if j.proof.whole != nil {
		j.proof.whole.Stop()
	}
}

// wholeDigest waits for the digest of a file of n bytes that is followed.
func (j *job) wholeDigest(ctx context.Context, n int64, side transfer.Side) (err error) {
	if j.proof.whole == nil {
		return nil
	}
	j.proof.digest, err = j.proof.whole.Sum(ctx, n)
	if err != nil && ctx.Err() == nil {
		err = &transfer.Error{Op: "read", Side: side, Err: exit.Cause(err)}
	}
	return err
}
