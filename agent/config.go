package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Default places; docs/operations.md names them.
const (
	DefaultStateDir   = "/var/lib/atalaya-agent"
	DefaultConfigFile = "/etc/atalaya/agent.yml"
)

// Config is the agent's whole configuration. DefaultConfig gives the defaults;
// LoadConfig reads a file over them.
type Config struct {
	// StateDir holds the spool, the key and the certificate. Mode 0700.
	StateDir string `yaml:"state_dir"`
	// Interval lies between two readings of the metrics.
	Interval time.Duration `yaml:"interval"`
	// InventoryInterval lies between two complete readings of the inventory. What
	// changes on disk in between (packages, users, services) is seen within one Interval.
	InventoryInterval time.Duration `yaml:"inventory_interval"`
	// IndexMaxAge is how old a package index may be and still prove that a host is
	// current. An older one makes the patch verdict unknown.
	IndexMaxAge time.Duration `yaml:"index_max_age"`
	// SpoolMaxBytes and SpoolMaxAge bound what waits for the collector.
	SpoolMaxBytes int64         `yaml:"spool_max_bytes"`
	SpoolMaxAge   time.Duration `yaml:"spool_max_age"`
	// DisabledSections names inventory sections that are not gathered.
	DisabledSections []string `yaml:"disabled_sections"`
	// EnabledMetrics names metric probes that are off by default and are to be read too,
	// DisabledMetrics those that are not to be read. docs/data-model.md names them.
	EnabledMetrics  []string `yaml:"enabled_metrics"`
	DisabledMetrics []string `yaml:"disabled_metrics"`
	// Processes says what is reported of the processes.
	Processes ProcessesConfig `yaml:"processes"`
	// TextfileDir is the folder of metrics that programs of the administrator leave in
	// *.prom files; empty: none.
	TextfileDir string `yaml:"textfile_dir"`
	// Budget bounds what the agent takes of its host.
	Budget BudgetConfig `yaml:"budget"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `yaml:"log_level"`
}

// ProcessesConfig says what is reported of the processes.
type ProcessesConfig struct {
	// Interval lies between two scans of all processes.
	Interval time.Duration `yaml:"interval"`
	// Top is how many groups of processes, and how many control groups, are reported
	// that use most CPU, and how many that use most memory.
	Top int `yaml:"top"`
}

// BudgetConfig bounds what the agent takes of its host. When it takes more on average
// over a minute it gives up processes first, then slow metrics, then most inventories.
type BudgetConfig struct {
	CPU    Percent `yaml:"cpu"`    // of one processor; 0: no bound
	Memory Bytes   `yaml:"memory"` // anonymous; 0: no bound
	// Probes bounds single probes, by the names that `atalaya-agent cost` prints.
	Probes map[string]ProbeBudget `yaml:"probes"`
}

// ProbeBudget bounds one probe; what is 0 stays as the probe has it.
type ProbeBudget struct {
	Timeout time.Duration `yaml:"timeout"` // of one run
	Period  time.Duration `yaml:"period"`  // between two runs, or two complete readings of inventory
}

// Percent is a share, written as 1% or 0.5%.
type Percent float64

// UnmarshalYAML implements yaml.Unmarshaler.
func (p *Percent) UnmarshalYAML(n *yaml.Node) error {
	text, ok := strings.CutSuffix(strings.TrimSpace(n.Value), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if !ok && v == 0 && err == nil {
		ok = true // plain 0: no bound
	}
	if err != nil || !ok || !(v >= 0 && v <= 100) {
		return badValue(n, "budget.cpu", "want a share of one processor from 0% to 100%, such as 1%")
	}
	*p = Percent(v / 100)
	return nil
}

// Bytes is a size, written as 64MiB, 512KiB or a number.
type Bytes int64

// UnmarshalYAML implements yaml.Unmarshaler.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	text, unit := strings.TrimSpace(n.Value), int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB"} {
		if t, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = strings.TrimSpace(t), 1<<(10*(i+1))
		}
	}
	v, err := strconv.ParseInt(text, 10, 64)
	if err != nil || v < 0 || v > 1<<40/unit {
		return badValue(n, "budget.memory", "want a size such as 64MiB")
	}
	*b = Bytes(v * unit)
	return nil
}

// badValue is the error of a value in the form of the decoder's own, which names the line.
func badValue(n *yaml.Node, key, want string) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s %.60q: %s", n.Line, key, n.Value, want)}}
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		StateDir:          DefaultStateDir,
		Interval:          10 * time.Second,
		InventoryInterval: 15 * time.Minute,
		IndexMaxAge:       48 * time.Hour,
		SpoolMaxBytes:     64 << 20,
		SpoolMaxAge:       7 * 24 * time.Hour,
		Processes:         ProcessesConfig{Interval: 30 * time.Second, Top: 10},
		TextfileDir:       DefaultStateDir + "/textfile",
		Budget:            BudgetConfig{CPU: 0.02, Memory: 128 << 20},
		LogLevel:          "info",
	}
}

// LoadConfig reads a YAML file over the defaults. Unknown keys are errors with
// file and line. With mayMiss, a file that does not exist gives the defaults.
func LoadConfig(file string, mayMiss bool) (Config, error) {
	c := DefaultConfig()
	f, err := os.Open(file)
	if mayMiss && errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("read configuration: %w (name a file that is there; without --config it is %s, or the defaults)", err, DefaultConfigFile)
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) { // an empty file is all defaults
		return c, fmt.Errorf("configuration %s: %s", file, yamlReason(err))
	}
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("configuration %s: %w", file, err)
	}
	return c, nil
}

// yamlReason puts the decoder's message on one line, without its type names.
func yamlReason(err error) string {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return err.Error()
	}
	lines := make([]string, len(te.Errors))
	for i, e := range te.Errors {
		e, _, _ = strings.Cut(e, " in type ")
		lines[i] = strings.Replace(e, "field ", "unknown key ", 1)
		lines[i] = strings.TrimSuffix(lines[i], " not found")
		if head, kind, ok := strings.Cut(lines[i], " into "); ok {
			head = strings.Replace(head, "cannot unmarshal ", "", 1)
			lines[i] = yamlTags.Replace(head) + ": want " + wantedFor(kind)
		}
	}
	return strings.Join(lines, "; ")
}

// yamlTags words what the decoder calls the kinds of values; it shows a text behind it.
var yamlTags = strings.NewReplacer("!!seq", "a list", "!!map", "NAME: VALUE", "!!str ", "", "!!int ", "", "!!float ", "", "!!bool ", "", "!!str", "a text")

// wantedFor words what a value of a Go type is written as.
func wantedFor(kind string) string {
	switch {
	case kind == "time.Duration":
		return "a duration such as 10s or 15m"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "bool":
		return "true or false"
	case kind == "string":
		return "a text"
	case strings.HasPrefix(kind, "[]"):
		return "a list: [a, b]"
	}
	return "lines NAME: VALUE"
}

// Check refuses values that cannot work, all of them in one error.
func (c Config) Check() error {
	var errs []error
	if c.StateDir == "" {
		errs = append(errs, errors.New("state_dir is empty"))
	}
	if c.Interval < time.Second || c.Interval > time.Hour {
		errs = append(errs, fmt.Errorf("interval %s: must lie between 1s and 1h", c.Interval))
	}
	if c.InventoryInterval < c.Interval || c.InventoryInterval > 24*time.Hour {
		errs = append(errs, fmt.Errorf("inventory_interval %s: must lie between interval and 24h", c.InventoryInterval))
	}
	if c.IndexMaxAge < time.Hour {
		errs = append(errs, fmt.Errorf("index_max_age %s: must be at least 1h", c.IndexMaxAge))
	}
	if c.SpoolMaxBytes < 1<<20 {
		errs = append(errs, fmt.Errorf("spool_max_bytes %d: must be at least 1048576", c.SpoolMaxBytes))
	}
	if c.SpoolMaxAge < time.Hour {
		errs = append(errs, fmt.Errorf("spool_max_age %s: must be at least 1h", c.SpoolMaxAge))
	}
	for _, name := range c.DisabledSections {
		if _, ok := facts.ByName(name); !ok {
			errs = append(errs, fmt.Errorf("disabled_sections: %w", NoSection(name)))
		}
	}
	errs = append(errs, c.Budget.check(c)...)
	if c.TextfileDir != "" && !path.IsAbs(c.TextfileDir) && !filepath.IsAbs(c.TextfileDir) {
		errs = append(errs, fmt.Errorf("textfile_dir %q: must be an absolute path, or empty", c.TextfileDir))
	}
	if c.Processes.Interval < time.Second || c.Processes.Interval > time.Hour {
		errs = append(errs, fmt.Errorf("processes.interval %s: must lie between 1s and 1h", c.Processes.Interval))
	}
	if c.Processes.Top < 1 || c.Processes.Top > 100 {
		errs = append(errs, fmt.Errorf("processes.top %d: must lie between 1 and 100", c.Processes.Top))
	}
	for _, name := range slices.Concat(c.EnabledMetrics, c.DisabledMetrics) {
		if !slices.ContainsFunc(NodeProbes(c), func(p probe.Probe) bool { return p.Info().Name == name }) {
			errs = append(errs, fmt.Errorf("enabled_metrics, disabled_metrics: no metric probe is called %q (these are: %s)", name, metricNames(c)))
		}
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		errs = append(errs, fmt.Errorf("log_level %q: want debug, info, warn or error", c.LogLevel))
	}
	return errors.Join(errs...)
}

// metricNames lists the metric probes, for messages.
func metricNames(c Config) string {
	return probeNames(NodeProbes(c))
}

func probeNames(probes []probe.Probe) string {
	var names []string
	for _, p := range probes {
		names = append(names, p.Info().Name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}

// check refuses a budget that cannot be kept, or of a probe that there is not.
func (b BudgetConfig) check(c Config) (errs []error) {
	if b.CPU < 0 || b.CPU > 1 {
		errs = append(errs, fmt.Errorf("budget.cpu %v: must lie between 0%% and 100%%", b.CPU))
	}
	if b.Memory != 0 && b.Memory < 4<<20 {
		errs = append(errs, fmt.Errorf("budget.memory %d: must be 0 or at least 4MiB", b.Memory))
	}
	known := slices.Concat(NodeProbes(c), MetricProbes(c, ""), InventoryProbes(c))
	for name, p := range b.Probes {
		if !slices.ContainsFunc(known, func(k probe.Probe) bool { return k.Info().Name == name }) {
			errs = append(errs, fmt.Errorf("budget.probes: no probe is called %q (these are: %s)", name, probeNames(known)))
		}
		if p.Timeout != 0 && (p.Timeout < 100*time.Millisecond || p.Timeout > 10*time.Minute) {
			errs = append(errs, fmt.Errorf("budget.probes.%s.timeout %s: must lie between 100ms and 10m", name, p.Timeout))
		}
		if p.Period != 0 && (p.Period < time.Second || p.Period > 24*time.Hour) {
			errs = append(errs, fmt.Errorf("budget.probes.%s.period %s: must lie between 1s and 24h", name, p.Period))
		}
	}
	return errs
}

// budget is the budget as the scheduler takes it.
func (c Config) budget() probe.Budget {
	b := probe.Budget{CPU: float64(c.Budget.CPU), Memory: int64(c.Budget.Memory), Use: ownUse, Probes: make(map[string]probe.ProbeBudget)}
	for name, p := range c.Budget.Probes {
		b.Probes[name] = probe.ProbeBudget{Timeout: p.Timeout, Period: p.Period}
	}
	return b
}

// ownUse measures this process. Its memory is what the Go runtime holds of the
// system: all but the program's own pages.
func ownUse() probe.Use {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(sample)
	use := probe.Use{CPU: time.Duration(processUse().CPUSeconds * float64(time.Second))}
	if sample[0].Value.Kind() == metrics.KindUint64 && sample[1].Value.Kind() == metrics.KindUint64 {
		use.Anonymous = int64(sample[0].Value.Uint64() - sample[1].Value.Uint64())
	}
	return use
}
