package show

import (
	"encoding/json"
	"time"
)

// totals are Totals without their methods, which the page would have to wrap.
type totals Totals

// StatsPage is the JSON of --stats: the totals and the table of connections.
func StatsPage(t *Totals, rows []*Row) []byte {
	now := time.Now()
	t.stamp(now)
	for _, row := range rows {
		row.stamp(now)
	}
	page := struct {
		totals
		Connections []*Row `json:"connections"`
	}{totals(*t), append([]*Row{}, rows...)}
	b, err := json.MarshalIndent(page, "", " ")
	if err != nil { // there is nothing in it that JSON cannot hold
		return []byte("{}\n")
	}
	return append(b, '\n')
}
