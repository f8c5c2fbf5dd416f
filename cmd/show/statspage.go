package show

import (
	"encoding/json"
	"time"
)

// totals are Totals without their methods, which the page would have to wrap.
type totals Totals

// StatsPage is the JSON of --stats: the totals, the listeners and targets, and the table of connections.
func StatsPage(t *Totals, listeners, targets []*Share, rows []*Row) []byte {
	now := time.Now()
	t.stamp(now)
	for _, row := range rows {
		row.stamp(now)
	}
	for _, share := range append(listeners[:len(listeners):len(listeners)], targets...) {
		share.stamp(now)
	}
	page := struct {
		totals
		Listeners   []*Share `json:"listeners"`
		Targets     []*Share `json:"targets"`
		Connections []*Row   `json:"connections"`
	}{totals(*t), append([]*Share{}, listeners...), append([]*Share{}, targets...), append([]*Row{}, rows...)}
	b, err := json.MarshalIndent(page, "", " ")
	if err != nil { // there is nothing in it that JSON cannot hold
		return []byte("{}\n")
	}
	return append(b, '\n')
}
