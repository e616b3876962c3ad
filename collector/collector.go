package collector

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"atalaya/collector/alert"
	"atalaya/collector/api"
	"atalaya/collector/asset"
	"atalaya/collector/auth"
	"atalaya/collector/cmdb"
	"atalaya/collector/enroll"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/ingest"
	"atalaya/collector/inventory"
	"atalaya/collector/query"
	"atalaya/collector/search"
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/metric"
)

// Options are what the program around the collector gives it.
type Options struct {
	Version string
	Log     *slog.Logger
	// Verify is the command that runs Verify in a process of its own; empty: the state file
	// is verified within this one.
	Verify []string
	// Ready is called once agents and clients can connect; nil: nobody asks.
	Ready func() error
	// Status is told in a few words what is still going on after that, and an empty text
	// once nothing is; nil: nobody asks.
	Status func(text string) error
}

// Collector is an open collector: its stores, and the servers and loops over them.
type collector struct {
	cfg       Config
	opt       Options
	started   time.Time
	store     *store.Store
	series    *series.DB
	queries   *query.Engine
	assets    *asset.Book
	search    *search.Index
	authority *enroll.Authority
	inventory *inventory.View
	cmdb      *cmdb.View
	alerts    *alert.Engine
	ingest    *ingest.Server
	api       *api.API
	listeners []net.Listener
}

// Run opens the stores in the data folder, serves agents and clients until ctx ends,
// and closes everything. What agents were told is durable is on disk by then.
//
// Order at the end: the listeners close and agents are told, what was received is
// committed, the loops stop, then the stores close, the state file last.
//
// Metrics come last: all else is served while their engine is still being opened.
func Run(ctx context.Context, cfg Config, opt Options) (err error) {
	if err := cfg.Check(); err != nil {
		return err
	}
	c := &collector{cfg: cfg, opt: opt, started: time.Now()}
	defer func() { err = errors.Join(err, c.close()) }()
	if err := c.open(ctx); err != nil {
		return c.advised(err)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{
		c.loadMetrics, c.ingest.Run, c.inventory.Run, c.cmdb.Run, c.assets.Run, c.search.Run, c.alerts.Run, c.watchHosts, c.prune, c.scrub, c.releaseMemory,
		func(ctx context.Context) error { return c.api.Serve(ctx, c.listeners...) },
	} {
		g.Go(func() error { return run(ctx) })
	}
	opt.Log.Info("collector is ready", "agents", cfg.Listen, "api", cfg.API.Listen, "socket", cfg.SocketPath(), "version", opt.Version)
	if opt.Ready != nil {
		if err := opt.Ready(); err != nil {
			opt.Log.Warn("service manager does not know that the collector is ready", "err", err)
		}
	}
	return g.Wait()
}

// advised says with damage that ends the start what to do about it.
func (c *collector) advised(err error) error {
	const backup = "restore the last backup"
	switch {
	case !errors.Is(err, store.ErrCorrupt):
		return err
	case !strings.Contains(err.Error(), backup):
		err = fmt.Errorf("%w; %s, the hosts then report again what is newer", err, backup)
	}
	return fmt.Errorf("%w: atalaya restore BACKUP --data %s", err, c.cfg.DataDir)
}

// loadMetrics opens the metrics engine. What it cannot open ends the collector.
func (c *collector) loadMetrics(ctx context.Context) error {
	c.tell("metrics are still being read from disk, all else is answered")
	begin := time.Now()
	if err := c.series.Load(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // what is open of it is closed with the rest
		}
		return err
	}
	if c.series.Trouble() == "" { // otherwise it was said
		c.opt.Log.Info("metrics can be asked", "took", time.Since(begin).Round(time.Millisecond))
	}
	c.tell("")
	return nil
}

// tell tells the service manager what is going on.
func (c *collector) tell(text string) {
	if c.opt.Status == nil {
		return
	}
	if err := c.opt.Status(text); err != nil {
		c.opt.Log.Warn("service manager was not told", "what", text, "err", err)
	}
}

func (c *collector) open(ctx context.Context) error {
	if err := os.MkdirAll(c.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w (choose another with --data, or create it for this user)", err)
	}
	var err error
	if c.store, err = store.Open(store.Config{Path: filepath.Join(c.cfg.DataDir, store.FileName), Log: c.opt.Log, Verify: verifier(ctx, c.opt.Verify)}); err != nil {
		return err
	}
	c.authority, err = enroll.OpenAuthority(ctx, enroll.Config{Dir: c.cfg.DataDir, Store: c.store, Address: c.cfg.advertised(), Log: c.opt.Log})
	if err != nil {
		return err
	}
	c.series, err = series.Open(series.Config{
		Dir:       c.seriesDir(),
		Retention: c.cfg.MetricsRetention,
		Catalogue: catalogue(),
		Log:       c.opt.Log,
	})
	if err != nil {
		return err
	}
	if err := c.openViews(ctx); err != nil {
		return err
	}
	if c.queries, err = query.New(query.Config{Store: c.store, Tables: c.tables()}); err != nil {
		return err
	}
	return c.listen(ctx)
}

func (c *collector) seriesDir() string { return filepath.Join(c.cfg.DataDir, "metrics") }

// catalogue describes all metrics: the agents' and the collector's own.
func catalogue() []metric.Desc {
	out := []metric.Desc{
		{Name: "up", Help: "1 while something comes from the host, else 0."},
		{Name: "atalaya_agent_clock_offset_seconds", Help: "The host's clock less the collector's."},
		{Name: "atalaya_agent_lost_batches_total", Help: "Batches the host had to drop, by its own count.", Kind: metric.Counter},
	}
	for _, d := range metric.Families() {
		out = append(out, *d)
	}
	return out
}

func (c *collector) openViews(ctx context.Context) error {
	c.inventory, c.cmdb, c.assets, c.search = inventory.New(c.store), cmdb.New(c.store), asset.New(c.store), search.New(c.store)
	if err := errors.Join(c.inventory.CatchUp(ctx), c.cmdb.CatchUp(ctx), c.assets.CatchUp(), ledger.CatchUp(c.store)); err != nil {
		return err
	}
	files, err := c.cfg.ruleFiles()
	if err != nil {
		return err
	}
	c.alerts, err = alert.Open(alert.Config{
		Store:       c.store,
		Query:       c.series,
		Record:      c.series,
		Files:       files,
		NoDefaults:  len(files) > 0,
		Webhook:     c.cfg.Webhook.receiver(),
		ExternalURL: "http://" + c.cfg.API.Listen,
		Log:         c.opt.Log,
	})
	return err
}

// listen opens the sockets, so that an address in use is an error before anything is
// promised to anybody.
func (c *collector) listen(ctx context.Context) error {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", c.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for agents: %w (another collector on this machine? choose another address with the key listen)", err)
	}
	c.ingest = ingest.New(ingest.Config{
		Conn:      conn,
		TLS:       c.authority.TLS(),
		Sink:      sink{c.store},
		Metrics:   samples{c.series},
		Enroller:  authority{c.authority},
		Verifier:  authority{c.authority},
		ResetKey:  c.authority.ResetKey(),
		TokenKey:  c.authority.TokenKey(),
		Heartbeat: c.cfg.Heartbeat,
		Log:       c.opt.Log,
	})
	c.authority.OnRevoke(c.ingest.Revoke)
	c.authority.OnMove(c.ingest.Restart)
	c.authority.WatchSessions(c.ingest.Connected)
	if err := c.listenAPI(); err != nil {
		return errors.Join(err, conn.Close())
	}
	return nil
}

func (c *collector) listenAPI() error {
	tokens := auth.NewTokens(tokenRecords{c.store}, time.Now)
	var err error
	c.api, err = api.New(api.Sources{
		Store:       c.store,
		Inventory:   c.inventory,
		CMDB:        c.cmdb,
		Alerts:      c.alerts,
		Series:      c.series,
		Queries:     c.queries,
		Assets:      c.assets,
		Search:      c.search,
		Authority:   c.authority,
		Tokens:      tokens,
		Sessions:    func() int { return c.ingest.Stats().Connected },
		Connected:   c.ingest.Connected,
		SilentAfter: c.cfg.SilentAfter,
		SeriesDir:   c.seriesDir(),
		Version:     c.opt.Version,
		StartedAt:   c.started,
		Now:         time.Now,
		Log:         c.opt.Log,
	}.Config())
	if err != nil {
		return err
	}
	socket, err := auth.ListenSocket(c.cfg.SocketPath())
	if err != nil {
		return err
	}
	c.listeners = append(c.listeners, socket)
	if c.cfg.API.Listen == "" {
		return nil
	}
	var config *tls.Config
	if c.cfg.API.Certificate != "" {
		cert, err := tls.LoadX509KeyPair(c.cfg.API.Certificate, c.cfg.API.Key)
		if err != nil {
			return fmt.Errorf("certificate of the API: %w", err)
		}
		config = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	l, err := auth.Listen(c.cfg.API.Listen, config)
	if err != nil {
		return err
	}
	c.listeners = append(c.listeners, l)
	return nil
}

// close closes what is open, in the reverse order of opening.
func (c *collector) close() error {
	var errs []error
	for _, l := range c.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	var closers []io.Closer
	if c.queries != nil {
		closers = append(closers, c.queries)
	}
	if c.series != nil {
		closers = append(closers, c.series)
	}
	if c.store != nil {
		closers = append(closers, c.store)
	}
	for _, cl := range closers {
		errs = append(errs, cl.Close())
	}
	return errors.Join(errs...)
}

// advertised is the address that new tokens name.
func (c Config) advertised() string {
	if c.Advertise != "" {
		return c.Advertise
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return c.Listen
	}
	if ip := net.ParseIP(host); host != "" && (ip == nil || !ip.IsUnspecified()) {
		return c.Listen
	}
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	return net.JoinHostPort(name, port)
}

// ruleFiles expands the patterns of RuleFiles; one that matches nothing is an error.
func (c Config) ruleFiles() ([]string, error) {
	var files []string
	for _, pattern := range c.RuleFiles {
		m, err := filepath.Glob(pattern)
		if err != nil || len(m) == 0 {
			return nil, fmt.Errorf("rule_files: no file matches %q", pattern)
		}
		files = append(files, m...)
	}
	return files, nil
}

// receiver is the webhook as package alert wants it.
func (w *Webhook) receiver() *alert.Webhook {
	if w == nil {
		return nil
	}
	return &alert.Webhook{
		URL:        w.URL,
		URLFile:    w.URLFile,
		Timeout:    w.Timeout,
		NoResolved: w.SendResolved != nil && !*w.SendResolved,
	}
}

// NewLog returns a logger of lines for people and journals; level is one of Config's.
func NewLog(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
}
