package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

// overviewDoc is one host on one page: what is known of it and how it does.
type overviewDoc struct {
	v1.HostDetail
	Patches v1.PatchStatus `json:"patches"`
	// Metrics are the newest readings by the name of the question.
	Metrics map[string]float64 `json:"metrics"`
	// NoMetrics says why there are none, when they could not be asked.
	NoMetrics string `json:"no_metrics,omitempty"`
	// Known counts the CIs of the whole fleet, software among them.
	Known int `json:"cis_known"`
	// CIs belong to the host, itself among them.
	CIs int `json:"cis"`
	// Dependents are CIs of the whole fleet that fail with the host.
	Dependents int        `json:"dependents"`
	Alerts     []v1.Alert `json:"alerts"`

	collectorStarted time.Time
}

// freshness is what tells data of this run of the collector from that of an earlier one.
type freshness struct {
	started time.Time // the collector
	sampled time.Time // the newest metrics; zero: there are none
}

// newestSample is when the metrics that every agent has were last read; %s is the
// selector of the host. Not every system tells its memory, or its load.
const newestSample = `max(timestamp(node_memory_MemTotal_bytes{%[1]s})) or max(timestamp(node_load1{%[1]s})) or max(timestamp(atalaya_agent_build_info{%[1]s}))`

// questions are the metrics of the overview; %s is the selector of the host.
var questions = map[string]string{
	"load1":         `node_load1{%s}`,
	"load5":         `node_load5{%s}`,
	"load15":        `node_load15{%s}`,
	"cpu_busy":      `1 - sum(rate(node_cpu_seconds_total{mode=~"idle|iowait",%[1]s}[2m])) / sum(rate(node_cpu_seconds_total{%[1]s}[2m]))`,
	"memory_used":   `node_memory_MemTotal_bytes{%[1]s} - node_memory_MemAvailable_bytes{%[1]s}`,
	"memory_total":  `node_memory_MemTotal_bytes{%s}`,
	"root_used":     `node_filesystem_size_bytes{mountpoint="/",%[1]s} - node_filesystem_free_bytes{mountpoint="/",%[1]s}`,
	"root_avail":    `node_filesystem_avail_bytes{mountpoint="/",%s}`,
	"root_total":    `node_filesystem_size_bytes{mountpoint="/",%s}`,
	"tcp_in_use":    `node_sockstat_TCP_inuse{%s}`,
	"running":       `node_procs_running{%s}`,
	"uptime":        `node_time_seconds{%[1]s} - node_boot_time_seconds{%[1]s}`,
	"network_bytes": `sum(rate(node_network_receive_bytes_total{device!="lo",%[1]s}[2m])) + sum(rate(node_network_transmit_bytes_total{device!="lo",%[1]s}[2m]))`,
}

// wholeReport are sections that every agent reports, whatever their status.
var wholeReport = []string{"os", "packages", "patch_state", "users", "listening_sockets"}

// pollEvery lies between two looks while --wait runs.
const pollEvery = 250 * time.Millisecond

func (c *client) overviewCommand() *cobra.Command {
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "overview [HOST]",
		Short: "Show one host on one page: system, patches, metrics, CIs, alerts",
		Long: "Show one host on one page. HOST may be left out when there is only one. With --wait\n" +
			"the command waits until the host is online and has reported all of this since the\n" +
			"collector started: its inventory, metrics and what is derived of them. What an earlier\n" +
			"run stored does not count. When time is up it fails and names what is missing.",
		Example: "  atalaya overview web1\n  atalaya overview --wait 60s",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), wait+callTime)
			defer cancel()
			return c.ask(ctx, func(ctx context.Context, api *v1.Client) error {
				doc, err := awaitOverview(ctx, api, args, wait)
				return c.answer(err, doc, func() view { return overviewView(doc) })
			})
		},
	}
	cmd.Flags().DurationVar(&wait, "wait", 0, "how `long` to wait for a complete report since the collector started, e.g. 60s")
	return cmd
}

// errIncomplete: the host has not reported everything since the collector started.
var errIncomplete = errors.New("no complete report yet")

func awaitOverview(ctx context.Context, api *v1.Client, args []string, wait time.Duration) (overviewDoc, error) {
	deadline := time.Now().Add(wait)
	for {
		doc, err := readOverview(ctx, api, args)
		if err == nil && wait > 0 {
			err = checkComplete(ctx, api, doc)
		}
		if err == nil || wait == 0 || !time.Now().Before(deadline) {
			return doc, err
		}
		select {
		case <-ctx.Done():
			return doc, ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

func checkComplete(ctx context.Context, api *v1.Client, doc overviewDoc) error {
	fresh := freshness{started: doc.collectorStarted}
	at, ok, err := scalar(ctx, api, fmt.Sprintf(newestSample, doc.selector()))
	if err != nil {
		return err
	}
	if ok {
		fresh.sampled = time.UnixMilli(int64(at * 1000))
	}
	return doc.complete(fresh)
}

// complete says what is missing from a report since the collector started.
func (d overviewDoc) complete(fresh freshness) error {
	var missing []string
	if d.Host.State != v1.HostOnline {
		missing = append(missing, "its connection (it is "+d.Host.State+")")
	}
	for _, name := range wholeReport {
		if s, ok := d.Sections[name]; !ok || s.ObservedAt.Before(fresh.started) {
			missing = append(missing, name)
		}
	}
	if fresh.sampled.Before(fresh.started) {
		missing = append(missing, "metrics")
	}
	if d.Host.OS == "" || d.CIs <= 1 { // the views follow the facts by some milliseconds
		missing = append(missing, "what is derived of it")
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w of %s: missing %s", errIncomplete, d.Host.Name, strings.Join(missing, ", "))
	}
	return nil
}

// selector picks the host's series.
func (d overviewDoc) selector() string { return fmt.Sprintf("host_id=%q", d.Host.ID) }

// readOverview reads the page of the host that args name, or of the only one.
func readOverview(ctx context.Context, api *v1.Client, args []string) (doc overviewDoc, err error) {
	host, err := hostOf(ctx, api, args)
	if err != nil {
		return doc, err
	}
	if doc.HostDetail, err = api.Host(ctx, host, false); err != nil {
		return doc, err
	}
	patches, err := api.Patches(ctx, v1.PatchQuery{Host: doc.Host.ID})
	if err != nil {
		return doc, err
	}
	if len(patches.Hosts) > 0 {
		doc.Patches = patches.Hosts[0]
		doc.Patches.Updates = nil
	}
	if err := doc.readMetrics(ctx, api); err != nil {
		return doc, err
	}
	impact, err := api.Impact(ctx, "host/"+doc.Host.ID)
	if err != nil {
		return doc, err
	}
	doc.Dependents = len(impact.Affected)
	items, _, err := all(0, func(p v1.Page) ([]v1.CI, string, error) {
		page, err := api.CIs(ctx, v1.CIQuery{Host: doc.Host.ID, Page: p})
		return page.CIs, page.Next, err
	})
	if err != nil {
		return doc, err
	}
	doc.CIs = len(items)
	status, err := api.Status(ctx)
	if err != nil {
		return doc, err
	}
	doc.Known, doc.collectorStarted = status.CIs, status.StartedAt
	doc.Alerts, _, err = all(0, func(p v1.Page) ([]v1.Alert, string, error) {
		page, err := api.Alerts(ctx, v1.AlertQuery{Page: p})
		return page.Alerts, page.Next, err
	})
	doc.Alerts = notNil(ofHost(doc.Alerts, doc.Host.Name))
	return doc, err
}

// readMetrics fills Metrics, or NoMetrics while the collector has none to give.
func (d *overviewDoc) readMetrics(ctx context.Context, api *v1.Client) error {
	d.Metrics = map[string]float64{}
	for name, expr := range questions {
		v, ok, err := scalar(ctx, api, fmt.Sprintf(expr, d.selector()))
		var refused *v1.Error
		if errors.As(err, &refused) && refused.Problem.Code == v1.CodeUnavailable {
			d.NoMetrics = refused.Error()
			return nil
		}
		if err != nil {
			return err
		}
		if ok {
			d.Metrics[name] = v
		}
	}
	return nil
}

// scalar evaluates an expression that gives one sample; ok is false when it gives none.
func scalar(ctx context.Context, api *v1.Client, expr string) (v float64, ok bool, err error) {
	resp, err := api.Query(ctx, expr, time.Time{})
	if err != nil {
		return 0, false, err
	}
	var data v1.QueryData
	if err := json.Unmarshal(resp.Data, &data); err != nil {
		return 0, false, fmt.Errorf("answer to %s: %w", expr, err)
	}
	if len(data.Vector) != 1 {
		return 0, false, nil
	}
	v = data.Vector[0].Value.Value
	return v, v == v, nil // NaN: nothing to divide yet
}

func ofHost(alerts []v1.Alert, host string) []v1.Alert {
	var mine []v1.Alert
	for _, a := range alerts {
		if a.Host == host {
			mine = append(mine, a)
		}
	}
	return mine
}

func overviewView(d overviewDoc) view {
	p := &pairs{}
	h := d.Host
	state := word(h.State)
	state.text = fmt.Sprintf("%s  %s, seen %s (%s)", h.Name, h.State, ago(d.Now, h.LastSeen).text, h.ID)
	p.add("host", state)
	p.add("system", text(h.OS))
	p.add("kernel", text(strings.TrimSpace(h.Kernel+" "+h.Arch)))
	p.add("inventory", text(inventoryLine(d)))
	p.add("packages", count(h.Packages))
	p.add("patches", verdictCell(d.Now, h.Patch))
	if h.Patch.RebootRequired != nil {
		reboot := yesNo(h.Patch.RebootRequired, warn)
		if len(d.Patches.RebootReasons) > 0 {
			reboot.text += ": " + strings.Join(d.Patches.RebootReasons, ", ")
		}
		p.add("reboot", reboot)
	} else {
		p.add("reboot", text("not known"))
	}
	if d.NoMetrics != "" {
		p.add("metrics", cell{text: d.NoMetrics, value: d.NoMetrics, tone: warn})
	}
	for _, m := range metricLines(d.Metrics) {
		p.add(m[0], text(m[1]))
	}
	p.add("cis", text(fmt.Sprintf("%d in the CMDB; %d of this host, %d depend on it", d.Known, d.CIs, d.Dependents)))
	p.add("alerts", alertsCell(d.Alerts))
	return view{pairs: p}
}

// inventoryLine counts the sections by how their reading went.
func inventoryLine(d overviewDoc) string {
	if len(d.Sections) == 0 {
		return "nothing yet"
	}
	n := map[string]int{}
	oldest := d.Now
	for _, s := range d.Sections {
		n[s.Status]++
		if s.ObservedAt.Before(oldest) {
			oldest = s.ObservedAt
		}
	}
	var parts []part
	for _, status := range []string{"ok", "partial", "empty", "unsupported", "denied", "failed", "stale"} {
		parts = append(parts, part{n[status], status})
	}
	return "sections " + joined(len(d.Sections), parts...) + ", read " + ago(d.Now, oldest).text
}

// metricLines are the metrics in words; what is not known is left out.
func metricLines(m map[string]float64) [][2]string {
	var out [][2]string
	add := func(name, format string, keys ...string) {
		var args []any
		for _, k := range keys {
			v, ok := m[k]
			if !ok {
				return
			}
			args = append(args, v)
		}
		out = append(out, [2]string{name, fmt.Sprintf(format, args...)})
	}
	used := func(name, part, whole string) {
		a, ok := m[part]
		b, ok2 := m[whole]
		if ok && ok2 && b > 0 {
			out = append(out, [2]string{name, fmt.Sprintf("%s of %s used (%.0f %%)", human(int64(a)), human(int64(b)), 100*a/b)})
		}
	}
	add("load", "%.2f  %.2f  %.2f  (1, 5, 15 min)", "load1", "load5", "load15")
	if busy, ok := m["cpu_busy"]; ok {
		out = append(out, [2]string{"cpu", fmt.Sprintf("%.0f %% busy", 100*busy)})
	}
	used("memory", "memory_used", "memory_total")
	if line, ok := diskLine(m["root_used"], m["root_avail"]); ok {
		out = append(out, [2]string{"disk /", line})
	}
	if rate, ok := m["network_bytes"]; ok {
		out = append(out, [2]string{"network", human(int64(rate)) + "/s both ways"})
	}
	add("tcp", "%.0f connections in use", "tcp_in_use")
	add("threads", "%.0f ready to run", "running")
	if up, ok := m["uptime"]; ok {
		out = append(out, [2]string{"up", "for " + span(time.Duration(up)*time.Second)})
	}
	return out
}

// diskLine counts as df does: what is reserved for root is neither used nor available,
// and the share is rounded up. ok is false when the sizes are not known.
func diskLine(used, avail float64) (line string, ok bool) {
	whole := used + avail
	if whole <= 0 {
		return "", false
	}
	return fmt.Sprintf("%s of %s used (%.0f %%), %s available",
		human(int64(used)), human(int64(whole)), math.Ceil(100*used/whole), human(int64(avail))), true
}

func alertsCell(alerts []v1.Alert) cell {
	if len(alerts) == 0 {
		return text("none")
	}
	firing := 0
	var names []string
	for _, a := range alerts {
		if a.State == v1.AlertFiring {
			firing++
		}
		names = append(names, a.Name)
	}
	c := text(fmt.Sprintf("%d firing, %d pending: %s", firing, len(alerts)-firing, strings.Join(names, ", ")))
	if firing > 0 {
		c.tone = bad
	}
	return c
}
