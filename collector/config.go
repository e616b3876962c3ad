// Package collector wires the collector together: it accepts agents, stores what
// they report, derives inventory, CMDB and alerts, and serves the API.
package collector

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Default places; docs/operations.md names them.
const (
	DefaultDataDir    = "/var/lib/atalaya"
	DefaultConfigFile = "/etc/atalaya/collector.yml"
)

// Config is the collector's whole configuration. DefaultConfig gives the defaults;
// LoadConfig reads a file over them.
type Config struct {
	// DataDir holds the state file, the metrics, the CA and the socket. Mode 0700.
	DataDir string `yaml:"data_dir"`
	// Listen is the UDP address that agents reach.
	Listen string `yaml:"listen"`
	// Advertise is the address that new tokens name, host:port. Empty: this
	// machine's host name and the port of Listen.
	Advertise string `yaml:"advertise"`
	API       API    `yaml:"api"`
	// Heartbeat is how long an agent may be silent before it says that it lives. With 35 s
	// an agent that measures once a minute sends one in a minute, not three.
	Heartbeat time.Duration `yaml:"heartbeat"`
	// SilentAfter is how long nothing may come from a host before its series up turns 0.
	SilentAfter time.Duration `yaml:"silent_after"`
	// HistoryRetention is how long changes are kept, MetricsRetention how long samples are.
	HistoryRetention time.Duration `yaml:"history_retention"`
	MetricsRetention time.Duration `yaml:"metrics_retention"`
	// RuleFiles are files or patterns of rules in Prometheus form; empty: the built-in rules.
	RuleFiles []string `yaml:"rule_files"`
	// Webhook receives alerts; nil: nobody does.
	Webhook *Webhook `yaml:"webhook"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `yaml:"log_level"`
}

// API is where the API listens beside the socket in the data folder.
type API struct {
	// Listen is a TCP address; without a certificate it must be on loopback.
	Listen      string `yaml:"listen"`
	Certificate string `yaml:"certificate"` // PEM file
	Key         string `yaml:"key"`         // PEM file
}

// Webhook is a receiver of alerts in Alertmanager's webhook form.
type Webhook struct {
	URL     string `yaml:"url"`
	URLFile string `yaml:"url_file"` // a file that holds the URL, where that is a secret
	// SendResolved also tells when an alert ends. Default true.
	SendResolved *bool         `yaml:"send_resolved"`
	Timeout      time.Duration `yaml:"timeout"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		DataDir:          DefaultDataDir,
		Listen:           ":7443",
		API:              API{Listen: "127.0.0.1:7480"},
		Heartbeat:        35 * time.Second,
		SilentAfter:      90 * time.Second,
		HistoryRetention: 400 * 24 * time.Hour,
		MetricsRetention: 30 * 24 * time.Hour,
		LogLevel:         "info",
	}
}

// LoadConfig reads a YAML file over the defaults. Unknown keys are errors with
// file and line. With mayMiss, a file that does not exist gives the defaults.
func LoadConfig(path string, mayMiss bool) (Config, error) {
	c := DefaultConfig()
	f, err := os.Open(path)
	if mayMiss && errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) { // an empty file is all defaults
		return c, fmt.Errorf("configuration %s: %s", path, yamlReason(err))
	}
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("configuration %s: %w", path, err)
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
		lines[i] = strings.TrimSuffix(strings.Replace(e, "field ", "unknown key ", 1), " not found")
		if head, ok := strings.CutSuffix(lines[i], " into time.Duration"); ok {
			lines[i] = head + ": want a duration such as 10s or 15m"
		}
	}
	return strings.Join(lines, "; ")
}

// Check refuses values that cannot work, all of them in one error.
func (c Config) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.DataDir == "" {
		bad("data_dir is empty")
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		bad("listen %q: want host:port or :port", c.Listen)
	}
	if c.Advertise != "" {
		if host, _, err := net.SplitHostPort(c.Advertise); err != nil || host == "" {
			bad("advertise %q: want host:port, as agents reach this collector", c.Advertise)
		}
	}
	if c.API.Listen != "" {
		host, _, err := net.SplitHostPort(c.API.Listen)
		if err != nil {
			bad("api.listen %q: want host:port", c.API.Listen)
		} else if ip := net.ParseIP(host); c.API.Certificate == "" && host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			bad("api.listen %q: not this machine's loopback, so it needs TLS: set api.certificate and api.key", c.API.Listen)
		}
	}
	if (c.API.Certificate == "") != (c.API.Key == "") {
		bad("api.certificate and api.key go together")
	}
	if c.Heartbeat < time.Second || c.Heartbeat > 50*time.Second {
		bad("heartbeat %s: must lie between 1s and 50s", c.Heartbeat)
	}
	if c.SilentAfter < 2*c.Heartbeat {
		bad("silent_after %s: must be at least twice the heartbeat", c.SilentAfter)
	}
	for name, d := range map[string]time.Duration{"history_retention": c.HistoryRetention, "metrics_retention": c.MetricsRetention} {
		if d < 24*time.Hour {
			bad("%s %s: must be at least 24h", name, d)
		}
	}
	if w := c.Webhook; w != nil {
		if (w.URL == "") == (w.URLFile == "") {
			bad("webhook: give url or url_file")
		}
		if u, err := url.Parse(w.URL); w.URL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
			bad("webhook.url: want http://... or https://...")
		}
	}
	for _, p := range c.RuleFiles {
		if _, err := filepath.Match(p, ""); err != nil {
			bad("rule_files %q: %v", p, err)
		}
	}
	switch c.LogLevel {
	case "debug", "info", "warn", "error":
	default:
		bad("log_level %q: want debug, info, warn or error", c.LogLevel)
	}
	return errors.Join(errs...)
}

// SocketPath is where the API listens for programs on this machine.
func (c Config) SocketPath() string { return filepath.Join(c.DataDir, "atalaya.sock") }
