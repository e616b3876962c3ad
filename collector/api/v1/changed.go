package v1

import (
	"context"
	"net/url"
	"strconv"
	"time"
)

// FleetChange is what changed in the same way on one host or several.
type FleetChange struct {
	Section    string         `json:"section"`
	Kind       string         `json:"kind" doc:"added, removed, changed, status, baseline (a first reading) or cleared (the host was removed)"`
	Item       string         `json:"item,omitempty" doc:"which row, for people"`
	Text       string         `json:"text,omitempty" doc:"what changed, in one line"`
	Columns    []ColumnChange `json:"columns,omitempty" doc:"of the first host, without what is each host's own"`
	At         time.Time      `json:"at,omitzero" doc:"when it came about on the first host, by the collector's clock"`
	ReceivedAt time.Time      `json:"received_at,omitzero" doc:"on the first host, by the collector's clock"`
	HostCount  int            `json:"host_count"`
	Hosts      []HostName     `json:"hosts" doc:"the first ten"`
	FleetCount int            `json:"fleet_count,omitempty" doc:"hosts of the whole fleet that have now what it became; absent: not known"`
	Times      int            `json:"times" doc:"changes of the row on one host in that time, at most"`
	Score      float64        `json:"score" doc:"how much it likely matters: rare before common, causes before what follows from them"`
}

// HostName names a host.
type HostName struct {
	HostID string `json:"host_id"`
	Host   string `json:"host" doc:"host name"`
}

// FleetChanges are the net changes between two moments, what likely matters most first.
type FleetChanges struct {
	Now     time.Time     `json:"now"`
	From    time.Time     `json:"from"`
	To      time.Time     `json:"to"`
	Changes []FleetChange `json:"changes"`
	Total   int           `json:"total" doc:"changes there are; more than listed when a limit cut them"`
}

// FleetChangeQuery selects the hosts by Hosts or by Tag, and two moments.
type FleetChangeQuery struct {
	Hosts    []string // names or numbers; none means all
	Tag      string
	From, To time.Time
	Limit    int
}

// Changed tells what changed between two moments on the fleet or on some of its hosts.
func (c *Client) Changed(ctx context.Context, q FleetChangeQuery) (FleetChanges, error) {
	v := url.Values(values{}.set("tag", q.Tag).time("from", q.From).time("to", q.To))
	for _, host := range q.Hosts {
		v.Add("host", host)
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return fetch[FleetChanges](ctx, c, "changes", v)
}
