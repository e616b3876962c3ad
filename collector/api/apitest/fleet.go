// Package apitest holds a fleet in memory that keeps the contracts of the API's
// backends, for tests of the API and of its clients. Every call can be told to fail.
package apitest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"atalaya/collector/api"
	"atalaya/collector/api/v1"
)

// Fleet implements the backends of package api.
// Its fields may be changed before it is used.
type Fleet struct {
	Now       time.Time
	HostList  []v1.Host
	Facts     map[string]map[string]v1.Section // by host number and section
	Changes   map[string][]v1.Change           // by host number, oldest first
	Installed []v1.HostPackage                 // sorted by host
	Patching  []v1.PatchStatus                 // sorted by host
	Items     []v1.CI                          // sorted by id
	Relations map[string][]v1.Relation         // by id
	Hit       map[string][]v1.Affected         // by id
	RuleList  []v1.Rule
	AlertList []v1.Alert
	Events    map[string][]v1.AlertEvent // by alert id
	Samples   []v1.VectorSample
	State     v1.Status
	Saved     []byte   // what a backup holds
	Found     v1.Scrub // what a scrub finds
	// Evaluate answers expressions that are more than the name of a metric; such are
	// refused without it.
	Evaluate func(expr string) (value float64, ok bool)
	// NotYet is why no metric can be asked; nil: they can.
	NotYet error

	mu     sync.Mutex
	tokens []v1.Token
	saved  []v1.SavedQuery
	gone   []goneHost
	assets api.Assets // nil until they are needed
	fail   error
}

// Fail makes every call from now on return err; nil ends that.
func (f *Fleet) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = err
}

func (f *Fleet) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fail
}

// page cuts a part out of a list; cursors are positions.
func page[T any](all []T, p v1.Page) (part []T, next string, err error) {
	start := 0
	if p.Cursor != "" {
		start, err = strconv.Atoi(p.Cursor)
		if err != nil || start < 0 || start > len(all) {
			return nil, "", fmt.Errorf("%w: cursor %q", api.ErrInvalid, p.Cursor)
		}
	}
	end := len(all)
	if p.Limit > 0 {
		end = min(end, start+p.Limit)
	}
	if end < len(all) {
		next = strconv.Itoa(end)
	}
	return all[start:end], next, nil
}

func glob(pattern, name string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return strings.Contains(name, pattern)
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func (f *Fleet) find(host string) (v1.Host, error) {
	if err := f.failure(); err != nil {
		return v1.Host{}, err
	}
	for _, h := range f.hosts() {
		if h.ID == host || h.Name == host {
			return h, nil
		}
	}
	return v1.Host{}, fmt.Errorf("%w: no host %q", api.ErrNotFound, host)
}

// Hosts implements api.Inventory.
func (f *Fleet) Hosts(_ context.Context, q v1.HostQuery) (out v1.HostPage, err error) {
	var all []v1.Host
	for _, h := range f.hosts() {
		if glob(q.Name, h.Name) && (q.Tag == "" || slices.Contains(h.Tags, q.Tag)) && (q.State == "" || q.State == h.State) && (q.Verdict == "" || q.Verdict == h.Patch.Verdict) {
			all = append(all, h)
		}
	}
	out.Hosts, out.Next, err = page(all, q.Page)
	return out, cmp.Or(f.failure(), err)
}

// Host implements api.Inventory.
func (f *Fleet) Host(_ context.Context, host string, rows bool, sections []string) (v1.HostDetail, error) {
	h, err := f.find(host)
	if err != nil {
		return v1.HostDetail{}, err
	}
	out := v1.HostDetail{Host: h, Sections: map[string]v1.Section{}}
	for name, s := range f.Facts[h.ID] {
		if len(sections) > 0 && !slices.Contains(sections, name) {
			continue
		}
		if !rows {
			s.Rows = nil
		}
		out.Sections[name] = s
	}
	return out, nil
}

func (f *Fleet) changes(host, section string, from, to time.Time) (v1.Host, []v1.Change, error) {
	h, err := f.find(host)
	var out []v1.Change
	for _, c := range f.Changes[h.ID] {
		if (section == "" || section == c.Section) && (from.IsZero() || !c.ReceivedAt.Before(from)) && (to.IsZero() || c.ReceivedAt.Before(to)) {
			out = append(out, c)
		}
	}
	return h, out, err
}

// History implements api.Inventory.
func (f *Fleet) History(_ context.Context, host string, q v1.HistoryQuery) (v1.History, error) {
	h, all, err := f.changes(host, q.Section, q.From, q.To)
	if err != nil {
		return v1.History{}, err
	}
	slices.Reverse(all)
	out := v1.History{HostID: h.ID, Host: h.Name}
	out.Changes, out.Next, err = page(all, q.Page)
	return out, err
}

// Diff implements api.Inventory. Each row of the fleet changes at most once.
func (f *Fleet) Diff(_ context.Context, host string, q v1.DiffQuery) (v1.Diff, error) {
	h, all, err := f.changes(host, q.Section, q.From, q.To)
	all = slices.DeleteFunc(all, func(c v1.Change) bool { return c.Kind == v1.ChangeStatus })
	return v1.Diff{HostID: h.ID, Host: h.Name, Changes: all}, err
}

// Packages implements api.Inventory. Versions are compared as text.
func (f *Fleet) Packages(_ context.Context, q v1.PackageQuery) (out v1.PackagePage, err error) {
	var all []v1.HostPackage
	for _, p := range f.Installed {
		if (q.Name == p.Name || strings.ContainsAny(q.Name, "*?") && glob(q.Name, p.Name)) && (q.Version == "" || p.Version == q.Version) &&
			(q.Below == "" || p.Version < q.Below) && (q.Above == "" || p.Version > q.Above) {
			all = append(all, p)
		}
	}
	out.Total = len(all)
	out.Packages, out.Next, err = page(all, q.Page)
	return out, cmp.Or(f.failure(), err)
}

// Patches implements api.Inventory.
func (f *Fleet) Patches(_ context.Context, q v1.PatchQuery) (out v1.PatchPage, err error) {
	if q.Host != "" {
		if _, err := f.find(q.Host); err != nil {
			return out, err
		}
	}
	var all []v1.PatchStatus
	for _, p := range f.Patching {
		if q.Host != "" && q.Host != p.Host && q.Host != p.HostID || q.Verdict != "" && q.Verdict != p.Verdict.Verdict {
			continue
		}
		if q.Host == "" {
			p.Updates, p.Held = nil, nil
		}
		all = append(all, p)
	}
	out.Hosts, out.Next, err = page(all, q.Page)
	return out, cmp.Or(f.failure(), err)
}

// CIs implements api.CMDB.
func (f *Fleet) CIs(_ context.Context, q v1.CIQuery) (out v1.CIPage, err error) {
	name := ""
	if q.Host != "" {
		h, err := f.find(q.Host)
		if err != nil {
			return out, err
		}
		name = h.Name
	}
	var all []v1.CI
	for _, ci := range f.Items {
		if name != "" && ci.Host != name && ci.Class+":"+ci.Name != "host:"+name {
			continue
		}
		if (q.Class == "" || q.Class == ci.Class) && glob(q.Name, ci.Name) && (ci.Present || q.Gone) {
			all = append(all, ci)
		}
	}
	out.CIs, out.Next, err = page(all, q.Page)
	return out, cmp.Or(f.failure(), err)
}

func (f *Fleet) item(id string) (v1.CI, error) {
	for _, ci := range f.Items {
		if ci.ID == id || ci.Class+":"+ci.Name == id {
			return ci, f.failure()
		}
	}
	return v1.CI{}, cmp.Or(f.failure(), fmt.Errorf("%w: no configuration item %q", api.ErrNotFound, id))
}

// CI implements api.CMDB.
func (f *Fleet) CI(_ context.Context, id string) (v1.CIDetail, error) {
	ci, err := f.item(id)
	return v1.CIDetail{CI: ci, Relations: f.Relations[ci.ID]}, err
}

// Impact implements api.CMDB.
func (f *Fleet) Impact(_ context.Context, id string) (v1.Impact, error) {
	ci, err := f.item(id)
	return v1.Impact{CI: ci, Affected: f.Hit[ci.ID]}, err
}

// Rules implements api.Alerts.
func (f *Fleet) Rules(context.Context) ([]v1.Rule, error) { return f.RuleList, f.failure() }

// CheckRules implements api.Alerts: it knows no more of a rule file than its first line.
func (f *Fleet) CheckRules(_ context.Context, content string) (v1.RuleCheck, error) {
	out := v1.RuleCheck{Rules: strings.Count(content, "alert:")}
	if !strings.HasPrefix(content, "groups:") {
		out.Problems = []string{"line 1: want groups"}
	}
	return out, f.failure()
}

// Alerts implements api.Alerts.
func (f *Fleet) Alerts(_ context.Context, q v1.AlertQuery) (out v1.AlertPage, err error) {
	var all []v1.Alert
	for _, a := range f.AlertList {
		if a.State != v1.AlertResolved && (q.State == "" || q.State == a.State) {
			all = append(all, a)
		}
	}
	out.Alerts, out.Next, err = page(all, q.Page)
	return out, cmp.Or(f.failure(), err)
}

// Alert implements api.Alerts.
func (f *Fleet) Alert(_ context.Context, id string) (v1.AlertDetail, error) {
	for _, a := range f.AlertList {
		if a.ID == id {
			return v1.AlertDetail{Alert: a, History: f.Events[id]}, f.failure()
		}
	}
	return v1.AlertDetail{}, cmp.Or(f.failure(), fmt.Errorf("%w: no alert %q", api.ErrNotFound, id))
}

// Query implements api.Metrics. An expression is the name of a metric.
func (f *Fleet) Query(_ context.Context, expr string, at time.Time) (api.Result, error) {
	vector, err := f.vector(expr, at)
	return result(v1.QueryData{Type: v1.ResultVector, Vector: vector}, err)
}

func (f *Fleet) vector(expr string, at time.Time) (out []v1.VectorSample, err error) {
	if f.NotYet != nil {
		return nil, f.NotYet
	}
	if f.Evaluate != nil && strings.Contains(expr, "{") {
		if v, ok := f.Evaluate(expr); ok {
			out = append(out, v1.VectorSample{Value: v1.Point{At: at.UnixMilli(), Value: v}})
		}
		return out, f.failure()
	}
	if expr == "" || strings.ContainsAny(expr, "{}()[] ") {
		return nil, fmt.Errorf("%w: parse error in %q", api.ErrInvalid, expr)
	}
	for _, s := range f.Samples {
		if s.Metric["__name__"] == expr {
			s.Value.At = at.UnixMilli()
			out = append(out, s)
		}
	}
	return out, f.failure()
}

func result(data v1.QueryData, err error) (api.Result, error) {
	if err != nil {
		return api.Result{}, err
	}
	b, err := json.Marshal(data)
	return api.Result{Data: b}, err
}

// QueryRange implements api.Metrics: every series has had its value for ever.
func (f *Fleet) QueryRange(_ context.Context, expr string, r api.Range) (api.Result, error) {
	vector, err := f.vector(expr, r.To)
	data := v1.QueryData{Type: v1.ResultMatrix}
	for _, s := range vector {
		series := v1.MatrixSeries{Metric: s.Metric}
		for at := r.From; !at.After(r.To); at = at.Add(r.Step) {
			series.Values = append(series.Values, v1.Point{At: at.UnixMilli(), Value: s.Value.Value})
		}
		data.Matrix = append(data.Matrix, series)
	}
	return result(data, err)
}

// LabelNames implements api.Metrics.
func (f *Fleet) LabelNames(context.Context, api.Selection) ([]string, error) {
	var out []string
	for _, s := range f.Samples {
		for name := range s.Metric {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), f.failure()
}

// LabelValues implements api.Metrics.
func (f *Fleet) LabelValues(_ context.Context, label string, _ api.Selection) ([]string, error) {
	var out []string
	for _, s := range f.Samples {
		if v, ok := s.Metric[label]; ok {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), f.failure()
}

// Series implements api.Metrics. A selector is the name of a metric.
func (f *Fleet) Series(_ context.Context, sel api.Selection) ([]map[string]string, error) {
	var out []map[string]string
	for _, s := range f.Samples {
		if slices.Contains(sel.Match, s.Metric["__name__"]) {
			out = append(out, s.Metric)
		}
	}
	return out, f.failure()
}

// Loading implements api.Metrics.
func (f *Fleet) Loading() error { return f.NotYet }

// Metadata implements api.Metrics.
func (f *Fleet) Metadata(context.Context) (map[string]v1.Metadata, error) {
	out := map[string]v1.Metadata{}
	for _, s := range f.Samples {
		out[s.Metric["__name__"]] = v1.Metadata{Type: "gauge", Help: "A reading."}
	}
	return out, f.failure()
}

// Status implements api.Operations.
func (f *Fleet) Status(context.Context) (v1.Status, error) { return f.State, f.failure() }

// RevokeHost implements api.Operations.
func (f *Fleet) RevokeHost(_ context.Context, host string) (v1.Revocation, error) {
	h, err := f.find(host)
	return v1.Revocation{HostID: h.ID, Host: h.Name, RevokedAt: f.Now}, err
}

// Backup implements api.Operations. When told to fail after Saved was set, it fails
// half way through.
func (f *Fleet) Backup(_ context.Context, w io.Writer) error {
	saved := f.Saved
	if f.failure() != nil {
		saved = saved[:len(saved)/2]
	}
	_, err := io.Copy(w, bytes.NewReader(saved))
	return cmp.Or(f.failure(), err)
}

// Tokens implements api.Operations.
func (f *Fleet) Tokens(context.Context) ([]v1.Token, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Clone(f.tokens)
	slices.Reverse(out)
	return out, f.fail
}

// CreateToken implements api.Operations. Secrets are numbered, not secret.
func (f *Fleet) CreateToken(_ context.Context, r v1.TokenRequest) (v1.NewToken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return v1.NewToken{}, f.fail
	}
	life := time.Duration(r.TTLSeconds) * time.Second
	if life == 0 {
		life = 24 * time.Hour
	}
	var made []v1.NewToken
	for range max(r.Count, 1) {
		t := v1.Token{
			ID: fmt.Sprintf("tok%d", len(f.tokens)+1), Kind: r.Kind, Role: r.Role, Note: r.Note, State: "valid",
			CreatedAt: f.Now, ExpiresAt: f.Now.Add(life),
		}
		f.tokens = append(f.tokens, t)
		made = append(made, v1.NewToken{Token: t, Secret: map[string]string{v1.TokenAPI: "atk_", v1.TokenEnrol: "at1_"}[r.Kind] + "secret-of-" + t.ID})
	}
	out := made[0]
	out.More = made[1:]
	return out, nil
}

// RevokeToken implements api.Operations.
func (f *Fleet) RevokeToken(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.tokens, func(t v1.Token) bool { return t.ID == id })
	if f.fail != nil || i < 0 {
		return cmp.Or(f.fail, fmt.Errorf("%w: no token %q", api.ErrNotFound, id))
	}
	f.tokens[i].State = "revoked"
	return nil
}

// Rows encodes rows as sections hold them.
func Rows(rows ...any) []json.RawMessage {
	var out []json.RawMessage
	for _, r := range rows {
		b, err := json.Marshal(r)
		if err != nil {
			panic(err) // rows of tests always encode
		}
		out = append(out, b)
	}
	return out
}
