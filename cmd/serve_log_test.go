package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zcp-go/zcp/cmd/conf"
	"github.com/zcp-go/zcp/cmd/show"
)

// TestRatesOfServer: the rate of a row is that of the last two seconds, not the mean since
// the client came; and the sampler stands still when there is no connection.
func TestRatesOfServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		out := &show.Printer{W: &said, Options: show.Options{JSON: true}}
		l := &serverLog{started: time.Now()}
		defer l.stop()
		k := l.open("peer")
		j := newJob(out, receiving, conf.Transfer{}, conf.Length{Size: -1}, 0)
		j.to = "in-1"
		l.begin(k, j)
		time.Sleep(samplePeriod / 2) // between the samples
		rate := func() int64 {
			said.Reset()
			l.status(out, 10)
			lines := bytes.Split(bytes.TrimSpace(said.Bytes()), []byte("\n"))
			var row show.Row
			if err := json.Unmarshal(lines[len(lines)-1], &row); err != nil || row.Target != "in-1" || row.DownRate != 0 {
				t.Fatalf("%s: %+v, %v", lines[len(lines)-1], row, err)
			}
			return row.UpRate
		}
		for _, n := range []int64{1000, 5000} { // the mean of all is 3000
			for range 10 {
				j.d.t.Stats.Bytes.Add(n)
				time.Sleep(time.Second)
			}
		}
		if got := rate(); got < 3500 || got > 5500 {
			t.Errorf("while it moves 5000 a second: %d", got)
		}
		time.Sleep(10 * time.Second)
		if got := rate(); got != 0 {
			t.Errorf("ten seconds after it has stopped %d", got)
		}
		l.close(k, context.Canceled)
		time.Sleep(2 * samplePeriod)
		if l.sampler.Stop() {
			t.Error("the sampler runs without a connection")
		}
	})
}
