package show

import (
	"encoding/json"
	"time"
)

// StatsPage is the JSON of --stats: the totals and the table of connections.
func StatsPage(totals *Totals, rows []*Row) []byte {
	now := time.Now()
	totals.stamp(now)
	for _, row := range rows {
		row.stamp(now)
	}
	page := struct {
		*Totals
		Connections []*Row `json:"connections"`
	}{totals, append([]*Row{}, rows...)}
	b, err := json.MarshalIndent(page, "", " ")
	if err != nil { // there is nothing in it that JSON cannot hold
		return []byte("{}\n")
	}
	return append(b, '\n')
}
