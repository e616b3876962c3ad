package v1

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Hosts lists hosts.
func (c *Client) Hosts(ctx context.Context, q HostQuery) (HostPage, error) {
	v := values{}.set("name", q.Name).set("state", q.State).set("verdict", q.Verdict).set("tag", q.Tag)
	return fetch[HostPage](ctx, c, "hosts", v.page(q.Page))
}

// Host returns a host by name or number; with rows, the rows of its sections too.
// Naming sections limits the answer to them.
func (c *Client) Host(ctx context.Context, host string, rows bool, sections ...string) (HostDetail, error) {
	v := url.Values(values{}.flag("rows", rows))
	for _, s := range sections {
		v.Add("section", s)
	}
	return fetch[HostDetail](ctx, c, "hosts/"+segment(host), v)
}

// Section returns one section of a host with its rows.
func (c *Client) Section(ctx context.Context, host, section string) (SectionDocument, error) {
	return fetch[SectionDocument](ctx, c, "hosts/"+segment(host)+"/sections/"+segment(section), nil)
}

// History lists changes of a host, newest first.
func (c *Client) History(ctx context.Context, host string, q HistoryQuery) (History, error) {
	v := values{}.set("section", q.Section).time("from", q.From).time("to", q.To).flag("details", q.Details)
	return fetch[History](ctx, c, "hosts/"+segment(host)+"/history", v.page(q.Page))
}

// Diff compares a host at two moments.
func (c *Client) Diff(ctx context.Context, host string, q DiffQuery) (Diff, error) {
	v := values{}.set("section", q.Section).time("from", q.From).time("to", q.To).flag("details", q.Details)
	return fetch[Diff](ctx, c, "hosts/"+segment(host)+"/diff", url.Values(v))
}

// Packages finds packages on the fleet.
func (c *Client) Packages(ctx context.Context, q PackageQuery) (PackagePage, error) {
	v := values{}.set("name", q.Name).set("below", q.Below).set("above", q.Above).set("version", q.Version).time("as_of", q.AsOf)
	return fetch[PackagePage](ctx, c, "packages", v.page(q.Page))
}

// Patches lists patch states.
func (c *Client) Patches(ctx context.Context, q PatchQuery) (PatchPage, error) {
	v := values{}.set("host", q.Host).set("verdict", q.Verdict)
	return fetch[PatchPage](ctx, c, "patches", v.page(q.Page))
}

// CIs lists configuration items.
func (c *Client) CIs(ctx context.Context, q CIQuery) (CIPage, error) {
	v := values{}.set("class", q.Class).set("name", q.Name).set("host", q.Host).flag("gone", q.Gone)
	return fetch[CIPage](ctx, c, "cis", v.page(q.Page))
}

// CI returns a configuration item by its id or, as CLASS:NAME, by its name.
func (c *Client) CI(ctx context.Context, id string) (CIDetail, error) {
	return fetch[CIDetail](ctx, c, "cis/"+segment(id), nil)
}

// Impact tells what depends on a configuration item.
func (c *Client) Impact(ctx context.Context, id string) (Impact, error) {
	return fetch[Impact](ctx, c, "cis/"+segment(id)+"/impact", nil)
}

// Rules lists the alert rules.
func (c *Client) Rules(ctx context.Context) (RuleList, error) {
	return fetch[RuleList](ctx, c, "rules", nil)
}

// CheckRules checks the content of a rule file without using it.
func (c *Client) CheckRules(ctx context.Context, content string) (RuleCheck, error) {
	return post[RuleCheck](ctx, c, "rules/check", map[string]string{"content": content})
}

// Alerts lists alerts.
func (c *Client) Alerts(ctx context.Context, q AlertQuery) (AlertPage, error) {
	return fetch[AlertPage](ctx, c, "alerts", values{}.set("state", q.State).page(q.Page))
}

// Alert returns one alert with its history.
func (c *Client) Alert(ctx context.Context, id string) (AlertDetail, error) {
	return fetch[AlertDetail](ctx, c, "alerts/"+segment(id), nil)
}

// Tokens lists the tokens of both kinds.
func (c *Client) Tokens(ctx context.Context) (TokenList, error) {
	return fetch[TokenList](ctx, c, "tokens", nil)
}

// CreateToken makes a token.
func (c *Client) CreateToken(ctx context.Context, r TokenRequest) (NewToken, error) {
	return post[NewToken](ctx, c, "tokens", r)
}

// RevokeToken makes a token worthless.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "tokens/"+segment(id), nil, nil, nil)
}

// RevokeHost refuses a host's certificate from now on and ends its session.
func (c *Client) RevokeHost(ctx context.Context, host string) (Revocation, error) {
	return post[Revocation](ctx, c, "hosts/"+segment(host)+"/revoke", nil)
}

// Status tells how the collector is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return fetch[Status](ctx, c, "status", nil)
}

// Backup copies the collector's state to w. An error means that what w holds is
// not complete.
func (c *Client) Backup(ctx context.Context, w io.Writer) (int64, error) {
	resp, err := c.send(ctx, http.MethodGet, "backup", nil, nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close() // only read
	return io.Copy(w, resp.Body)
}

// Query evaluates a metric expression at one moment; zero means now. It returns
// the warnings of the engine beside the result.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (PromResponse, error) {
	v := values{}.set("query", expr).time("time", at)
	return fetch[PromResponse](ctx, c, "query", url.Values(v))
}

// QueryRange evaluates a metric expression at each step of a range.
func (c *Client) QueryRange(ctx context.Context, expr string, from, to time.Time, step time.Duration) (PromResponse, error) {
	v := values{}.set("query", expr).time("start", from).time("end", to)
	v.set("step", strconv.FormatFloat(step.Seconds(), 'f', -1, 64))
	return fetch[PromResponse](ctx, c, "query_range", url.Values(v))
}
