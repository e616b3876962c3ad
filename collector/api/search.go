package api

import (
	"context"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
	"atalaya/collector/search"
)

// Search finds hosts and assets. What is wrong with the text is ErrInvalid.
type Search interface {
	Search(ctx context.Context, q v1.SearchQuery) (v1.SearchAnswer, error)
}

func (a *API) searchRoutes(routes huma.API) {
	get(routes, "/api/v1/search", "search", "Find hosts and assets by anything that is known of them", a.search)
}

func (a *API) search(ctx context.Context, in *struct {
	Text   string `query:"text" required:"true" minLength:"1" maxLength:"200" doc:"words that must all be found, in any case; quotes make several one"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"20" doc:"at most so many in a page"`
	Cursor string `query:"cursor" maxLength:"2048" doc:"next of the page before"`
}) (*body[v1.SearchAnswer], error) {
	page, err := PageParams{Limit: in.Limit, Cursor: in.Cursor}.page()
	if err != nil {
		return nil, err
	}
	out, err := a.Finder.Search(ctx, v1.SearchQuery{Text: in.Text, Page: page})
	out.Now, out.Found, out.Next = a.now(), nonNil(out.Found), opaque(out.Next)
	return answer(out, err)
}

// searchBackend fits package search to Search.
type searchBackend struct{ *search.Index }

// Search implements Search.
func (b searchBackend) Search(ctx context.Context, q v1.SearchQuery) (out v1.SearchAnswer, err error) {
	start, err := offset(q.Cursor)
	if err != nil {
		return out, err
	}
	found, err := b.Find(ctx, search.Query{Text: q.Text, Offset: start, Limit: q.Limit})
	if search.IsText(err) {
		return out, kindred{err, ErrInvalid}
	}
	if err != nil {
		return out, classify(err)
	}
	out.Total, out.Partial = found.Total, found.Partial
	for _, g := range found.Groups {
		group := v1.SearchGroup{Name: g.Name, Rank: g.Rank, More: g.More, Matches: []v1.SearchMatch{}}
		if g.Asset != 0 {
			group.Asset = g.Asset.String()
		} else {
			group.HostID, group.Host = g.Host.String(), g.Name
		}
		for _, m := range g.Matches {
			group.Matches = append(group.Matches, v1.SearchMatch{Section: m.Section, Column: m.Column, Item: m.Item, Text: m.Text, Rank: m.Rank})
		}
		out.Found = append(out.Found, group)
	}
	if start+len(found.Groups) < found.Total && len(found.Groups) > 0 {
		out.Next = strconv.Itoa(start + len(found.Groups))
	}
	return out, nil
}
