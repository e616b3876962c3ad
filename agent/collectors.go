package agent

import (
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/agent/probe/textfile"
	"atalaya/shared/facts"
	"atalaya/shared/metric"
)

// collectorOf says which collectors of node_exporter a probe serves, where they are not
// called like the probe. A probe that serves several stands with what the names of the
// families of each begin with.
var collectorOf = map[string][]served{
	"cpu":               {{"cpu", "node_cpu_"}, {"loadavg", "node_load"}, {"stat", "node_context_switches"}, {"pressure", "node_pressure_"}},
	"protocols":         {{"netstat", "node_netstat_"}, {"sockstat", "node_sockstat_"}},
	"system":            {{"filefd", "node_filefd_"}, {"time", "node_time_seconds"}},
	"cpu_info":          {{name: "cpu"}},
	"cpu_topology":      {{name: "cpu"}},
	"pressure_irq":      {{name: "pressure"}},
	"memory":            {{name: "meminfo"}},
	"disk":              {{name: "diskstats"}},
	"diskinfo":          {{name: "diskstats"}},
	"network":           {{name: "netdev"}},
	"netclass_settings": {{name: "netclass"}},
	"conntrack_stats":   {{name: "conntrack"}},
	"cooling_device":    {{name: "thermal_zone"}},
	"powersupply":       {{name: "powersupplyclass"}},
	"entropy_pool":      {{name: "entropy"}},
	"clocksource":       {{name: "time"}},
	"time_zone":         {{name: "time"}},
	"systemd_units":     {{name: "systemd"}},
	"timex_pps":         {{name: "timex"}},
}

// contentCollectors are those of node_exporter 1.5 that are content where the machine has
// nothing of what they look for; the others count that as no success.
const contentCollectors = " bcache btrfs cpufreq edac mountstats powersupplyclass selinux swap textfile thermal_zone xfs "

type served struct {
	name   string
	prefix string // "": every family of the probe
}

// CompatProbes returns all metric probes whose readings node_exporter has or could have:
// those that are off by default, and the administrator's own files; none that the
// configuration disables.
func CompatProbes(c Config) []probe.Probe {
	all := slices.DeleteFunc(NodeProbes(c), func(p probe.Probe) bool { return slices.Contains(c.DisabledMetrics, p.Info().Name) })
	if c.TextfileDir != "" {
		all = append(all, textfile.New(c.TextfileDir))
	}
	return all
}

// AddCollectors adds to a result what node_exporter says of its own runs: whether each
// of its collectors gave all that it could, and how long that took. It is told from the
// probes that serve the collector; one that serves several counts with all of its time.
// A folder of own metrics that is not there holds no file with an error.
func AddCollectors(res *probe.Result) {
	runs := make(map[string]*collectorRun)
	for _, c := range res.Costs {
		list := collectorOf[c.Probe]
		if list == nil {
			list = []served{{name: c.Probe}}
		}
		for _, s := range list {
			if runs[s.name] == nil {
				runs[s.name] = new(collectorRun)
			}
			runs[s.name].take(res, c, s.prefix)
		}
	}
	for name, r := range runs {
		success := 0.0
		if !r.failed && (r.ok || strings.Contains(contentCollectors, " "+name+" ")) {
			success = 1
		}
		if name == "textfile" && !r.ok && !r.failed {
			addSample(res, &metric.TextfileError, 0)
		}
		add(res, &metric.ProbeSuccess, name, success)
		add(res, &metric.ProbeSeconds, name, r.seconds)
	}
}

// collectorRun is what one collector's probes did.
type collectorRun struct {
	ok, failed bool
	seconds    float64
}

func (r *collectorRun) take(res *probe.Result, c probe.Cost, prefix string) {
	r.seconds += c.LastWallSeconds
	switch {
	case prefix != "":
		r.ok = r.ok || slices.ContainsFunc(res.Frame.Samples, func(s metric.Sample) bool {
			return strings.HasPrefix(res.Series[s.Series].Name, prefix)
		})
	case c.Status == facts.StatusOK:
		r.ok = true
	case c.Status != facts.StatusUnsupported && c.Status != facts.StatusEmpty:
		r.failed = true
	}
}

func add(res *probe.Result, d *metric.Desc, collector string, value float64) {
	addSample(res, d, value, metric.Label{Name: d.Labels[0], Value: collector})
}

func addSample(res *probe.Result, d *metric.Desc, value float64, labels ...metric.Label) {
	res.Frame.Samples = append(res.Frame.Samples, metric.Sample{Series: uint32(len(res.Series)), Value: value})
	res.Series = append(res.Series, metric.Series{Name: d.Name, Kind: d.Kind, Labels: labels})
}
