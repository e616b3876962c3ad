package apitest

import (
	"context"
	"fmt"
	"strings"

	"atalaya/collector/api"
	"atalaya/collector/api/v1"
)

// Search implements api.Search: it knows the names of hosts and what is installed there.
func (f *Fleet) Search(_ context.Context, q v1.SearchQuery) (out v1.SearchAnswer, err error) {
	if err := f.failure(); err != nil {
		return out, err
	}
	if len(q.Text) < 2 {
		return out, fmt.Errorf("%w: %q is too short: want words of 2 letters or more", api.ErrInvalid, q.Text)
	}
	var found []v1.SearchGroup
	for _, h := range f.hosts() {
		g := v1.SearchGroup{HostID: h.ID, Host: h.Name, Name: h.Name, Rank: "part"}
		if strings.Contains(h.Name, q.Text) {
			g.Rank = "prefix"
			g.Matches = append(g.Matches, v1.SearchMatch{Section: "host", Column: "name", Text: h.Name, Rank: "prefix"})
		}
		for _, p := range f.Installed {
			if p.HostID == h.ID && strings.Contains(p.Name, q.Text) {
				g.Matches = append(g.Matches, v1.SearchMatch{Section: "packages", Column: "name", Item: p.Source + " " + p.Name + " " + p.Arch, Text: p.Name, Rank: "part"})
			}
		}
		if len(g.Matches) > 0 {
			found = append(found, g)
		}
	}
	out.Total = len(found)
	out.Found, out.Next, err = page(found, q.Page)
	return out, err
}
