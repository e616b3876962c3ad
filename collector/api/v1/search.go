package v1

import (
	"context"
	"time"
)

// SearchQuery is what to look for: words that must all be found of one host or asset.
type SearchQuery struct {
	Text string
	Page
}

// SearchAnswer are the hosts and assets that were found, the best first.
type SearchAnswer struct {
	Now     time.Time     `json:"now"`
	Found   []SearchGroup `json:"found"`
	Total   int           `json:"total"`
	Partial string        `json:"partial,omitempty" doc:"why there may be more that was not found"`
	Next    string        `json:"next,omitempty"`
}

// SearchGroup is a host, or an asset without one, with what matches.
type SearchGroup struct {
	HostID  string        `json:"host_id,omitempty"`
	Host    string        `json:"host,omitempty"`
	Asset   string        `json:"asset,omitempty" doc:"number of an asset without a host"`
	Name    string        `json:"name" doc:"of the host, or what the asset is known by"`
	Rank    string        `json:"rank" enum:"exact,prefix,part"`
	Matches []SearchMatch `json:"matches" doc:"the best first, 5 at most"`
	More    int           `json:"more,omitempty" doc:"matches that are not told"`
}

// SearchMatch is a text that holds a word.
type SearchMatch struct {
	Section string `json:"section" doc:"of facts; host or asset for what the collector and people know"`
	Column  string `json:"column"`
	Item    string `json:"item,omitempty" doc:"the row"`
	Text    string `json:"text"`
	Rank    string `json:"rank" enum:"exact,prefix,part"`
}

// Search finds hosts and assets by anything that is known of them.
func (c *Client) Search(ctx context.Context, q SearchQuery) (SearchAnswer, error) {
	return fetch[SearchAnswer](ctx, c, "search", values{}.set("text", q.Text).page(q.Page))
}
