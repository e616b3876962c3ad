package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/shared/facts"
)

// CheckConfig says what is compared with what.
type CheckConfig struct {
	Shape           // zero numbers: as the state folder says
	StateDir string // of the run, which has ended
	Server   string // path of the collector's socket, or URL of its API
	Token    string // for a URL
	Sample   int    // hosts that are looked at, picked by the seed; 0: all
	Talk     io.Writer
}

// Finding is a difference between the ledger and the collector.
type Finding struct {
	Host string
	What string
}

// Check compares the collector with the ledger: rows of every section after the last
// acknowledged change, the number of changes in the history, and the number of
// samples. It reads the collector's API as any other program would. Of a host that an
// administrator removed, or brought back since its last report, the rows are left out,
// and one that was merged with another is left out whole: Talk names them.
func Check(ctx context.Context, cfg CheckConfig) (t Tally, findings []Finding, err error) {
	if cfg.Shape, _, err = shapeOf(cfg.StateDir, cfg.Shape); err != nil {
		return t, nil, err
	}
	sum, err := ReadLedger(cfg.StateDir)
	if err != nil {
		return t, nil, err
	}
	numbers := slices.Sorted(maps.Keys(sum))
	if cfg.Sample > 0 && cfg.Sample < len(numbers) {
		r := rand.New(rand.NewPCG(cfg.Seed, uint64(len(numbers))))
		r.Shuffle(len(numbers), func(i, j int) { numbers[i], numbers[j] = numbers[j], numbers[i] })
		numbers = numbers[:cfg.Sample]
	}
	c := checker{api: newAPI(cfg.Server, cfg.Token), fleet: NewFleet(cfg.Shape), talk: cfg.Talk}
	for i, n := range numbers {
		if err := c.host(ctx, n, sum[n]); err != nil {
			return c.tally, c.findings, fmt.Errorf("host %s: %w", cfg.hostName(n), err)
		}
		if (i+1)%100 == 0 {
			fmt.Fprintf(cfg.Talk, "%d of %d hosts checked, %d differences\n", i+1, len(numbers), len(c.findings))
		}
	}
	return c.tally, c.findings, nil
}

// Tally counts the hosts of a check.
type Tally struct {
	Whole int // compared in all
	Part  int // in history and samples only
	None  int // not compared
}

// String names what there is.
func (t Tally) String() string {
	s := fmt.Sprintf("%d hosts checked", t.Whole)
	if t.Part > 0 {
		s += fmt.Sprintf(", %d in part", t.Part)
	}
	if t.None > 0 {
		s += fmt.Sprintf(", %d not", t.None)
	}
	return s
}

type checker struct {
	api      api
	fleet    *Fleet
	talk     io.Writer
	findings []Finding
	tally    Tally
}

func (c *checker) host(ctx context.Context, n int, t *Total) error {
	h := c.fleet.NewHost(n)
	for h.step < t.Step {
		h.Change(0)
	}
	differs := func(format string, args ...any) {
		c.findings = append(c.findings, Finding{h.Name(), fmt.Sprintf(format, args...)})
	}
	fate, merged, err := c.api.fate(ctx, t.ID)
	if err != nil {
		return err
	}
	if fate != "" {
		fmt.Fprintf(c.talk, "%s  %s\n", h.Name(), fate)
	}
	switch {
	case merged:
		c.tally.None++
		return nil
	case fate != "":
		c.tally.Part++
	default:
		c.tally.Whole++
		if err := c.rows(ctx, h, t.ID, differs); err != nil {
			return err
		}
	}
	changes, err := c.api.changes(ctx, t.ID, time.UnixMilli(t.First))
	if err != nil {
		return err
	}
	if changes != t.Rows {
		differs("history: %d changes at the collector, %d acknowledged", changes, t.Rows)
	}
	samples, err := c.api.samples(ctx, h.Name(), time.UnixMilli(t.First), time.UnixMilli(t.Last), c.fleet.families())
	if err != nil {
		return err
	}
	if samples != t.Samples {
		differs("metrics: %d samples at the collector, %d acknowledged", samples, t.Samples)
	}
	return nil
}

// rows compares the rows of all sections of a host.
func (c *checker) rows(ctx context.Context, h *Host, host string, differs func(format string, args ...any)) error {
	for _, id := range Sections() {
		got, err := c.api.rows(ctx, host, id)
		if err != nil {
			return err
		}
		want, err := plain(facts.Sort(h.rows(id)))
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(got, want) {
			differs("%s: %d rows at the collector, %d acknowledged, or their content differs", id, len(got), len(want))
		}
	}
	return nil
}

// plain is rows as JSON shows them.
func plain(rows []facts.Row) (list []any, err error) {
	b, err := json.Marshal(rows)
	if err != nil {
		return nil, err
	}
	return list, json.Unmarshal(b, &list)
}

// api reads the collector's HTTP interface.
type api struct {
	base, token string
	http        *http.Client
}

func newAPI(server, token string) api {
	if strings.Contains(server, "://") {
		return api{strings.TrimSuffix(server, "/"), token, http.DefaultClient}
	}
	var d net.Dialer
	return api{"http://localhost", "", &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", server) },
	}}}
}

func (a api) get(ctx context.Context, path string, query url.Values, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.base+"/api/v1/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("GET %s: %s %s (%v)", path, resp.Status, text, err)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// fate says what an administrator did with a host, as far as its rows are no longer those
// of the ledger; merged: it is one with another.
func (a api) fate(ctx context.Context, host string) (text string, merged bool, err error) {
	var who struct {
		Merges []struct{ Keep, Other, Undone string }
	}
	if err := a.get(ctx, "hosts/"+host+"/identity", nil, &who); err != nil {
		return "", false, err
	}
	for _, m := range who.Merges {
		if m.Undone == "" {
			return fmt.Sprintf("%s was merged into %s: not compared", m.Other, m.Keep), true, nil
		}
	}
	var doc struct {
		Removed  *struct{ Reason string }
		Sections map[string]any
		Identity []struct{ Kind string }
	}
	if err := a.get(ctx, "hosts/"+host, nil, &doc); err != nil {
		return "", false, err
	}
	back := slices.ContainsFunc(doc.Identity, func(e struct{ Kind string }) bool { return e.Kind == "revived" })
	switch {
	case doc.Removed != nil && doc.Removed.Reason != "":
		return fmt.Sprintf("was removed (%s): its rows are not compared", doc.Removed.Reason), false, nil
	case doc.Removed != nil:
		return "was removed: its rows are not compared", false, nil
	case len(doc.Sections) == 0 && back:
		return "was removed and brought back, and has not reported since: its rows are not compared", false, nil
	}
	return "", false, nil
}

func (a api) rows(ctx context.Context, host string, id facts.ID) ([]any, error) {
	var doc struct{ Rows []any }
	err := a.get(ctx, "hosts/"+host+"/sections/"+id.String(), nil, &doc)
	return doc.Rows, err
}

// changes counts what became different on a host after its first inventory. A removal
// and what is read anew after it are a line each there, which do not count.
func (a api) changes(ctx context.Context, host string, since time.Time) (int, error) {
	n := 0
	query := url.Values{"limit": {"1000"}}
	for {
		var doc struct {
			Changes []struct {
				Kind       string
				ObservedAt time.Time `json:"observed_at"`
			}
			Next string
		}
		if err := a.get(ctx, "hosts/"+host+"/history", query, &doc); err != nil {
			return 0, err
		}
		for _, c := range doc.Changes {
			if c.ObservedAt.After(since) && slices.Contains([]string{"added", "removed", "changed"}, c.Kind) {
				n++
			}
		}
		if doc.Next == "" {
			return n, nil
		}
		query.Set("cursor", doc.Next)
	}
}

// samples counts the samples of a host's series between two moments. A selector of
// several names cannot be counted: count_over_time drops the name.
func (a api) samples(ctx context.Context, host string, from, to time.Time, families []string) (int, error) {
	window := to.Sub(from)/time.Second + 2
	var terms []string
	for _, name := range families {
		terms = append(terms, fmt.Sprintf(`sum(count_over_time(%s{host=%q}[%ds]))`, name, host, window))
	}
	query := url.Values{"query": {strings.Join(terms, " + ")}, "time": {strconv.FormatInt(to.Unix()+1, 10)}}
	var doc struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	if err := a.get(ctx, "query", query, &doc); err != nil || len(doc.Data.Result) == 0 {
		return 0, err
	}
	text, _ := doc.Data.Result[0].Value[1].(string)
	return strconv.Atoi(text)
}
