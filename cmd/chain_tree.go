package cmd

import (
	"context"
	"sync"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/exit"
	"github.com/zcp-go/zcp/cmd/tree"
	"github.com/zcp-go/zcp/transfer"
)

// A treeStream is the stream of a chain that unpacks: there is no file that could be read once more, so
// it is duplicated, and the slowest sets the pace. The unpacker reads the first branch.
type treeStream struct {
	stage *transfer.Fanout
	mover transfer.Transfer // from the sender into the stage
	all   sync.WaitGroup
}

// startTree begins to duplicate the stream. It returns what the unpacker reads, and the context that ends
// when the sender fails. A nil chain lets it read from the sender.
func (n *chain) startTree(ctx context.Context, conn *transfer.Conn, c *conf.Recv) (context.Context, *transfer.Endpoint, error) {
	if n == nil {
		return ctx, conn.Endpoint, nil
	}
	stage, err := n.fanout.stage(1+len(n.targets), c.Transfer, 0)
	if err != nil {
		n.cancel(errIncomplete)
		return ctx, nil, err
	}
	s := &treeStream{stage: stage}
	t := &n.d.t
	s.mover = transfer.Transfer{PipeSize: t.PipeSize, NoSplice: t.NoSplice, Limits: t.Limits, Idle: t.Idle, IdleOf: transfer.Source}
	n.stream, t.Limits, t.Idle, t.Grows = s, nil, 0, nil
	branches := map[*target]*transfer.Endpoint{}
	for i, t := range n.targets {
		branches[t] = stage.Branch(1 + i)
		t.leave = func() { stage.Branch(1 + i).Close() }
	}
	if err := n.sayPassed(); err != nil {
		n.cancel(errIncomplete)
		return ctx, nil, err
	}
	n.all = n.fanout.start(n.ctx, func(ctx context.Context, t *target, conn *transfer.Conn) error {
		return n.passOn(ctx, t, conn, func(ctx context.Context) error {
			_, err := t.d.t.Move(ctx, conn.Endpoint, branches[t], -1)
			return err
		})
	})
	unpacking, broken := context.WithCancelCause(ctx)
	s.all.Go(func() {
		_, err := s.mover.Move(n.ctx, stage.In, conn.Endpoint, -1)
		if err != nil {
			broken(err)
			n.cancel(errIncomplete)
		}
		stage.In.Close() // a pipe of ours
	})
	s.all.Go(func() {
		if err := stage.Run(n.ctx); err != nil {
			broken(err)
			n.cancel(errIncomplete)
			return
		}
		stage.EndBranch(0)
	})
	return unpacking, stage.Branch(0), nil
}

// end ends the branches: well if everything is unpacked, otherwise after the deliveries were given up.
func (s *treeStream) end() {
	if s != nil {
		s.all.Wait()
		s.stage.Close()
		s.stage.Branch(0).Close()
	}
}

// afterTree waits for the nexts of a tree. failed is what concerned single members here.
func (n *chain) afterTree(ctx context.Context, failed error) error {
	err := n.await(ctx)
	if err == nil || failed == nil {
		return err
	}
	n.out.Error(err)
	return tree.Worse(failed, exit.Reported(err))
}
