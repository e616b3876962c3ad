// Package agent wires the agent together: probes and their scheduler, the spool, and
// the uplink to the collector.
package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probe/osinfo"
	"atalaya/agent/spool"
	"atalaya/agent/uplink"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// addressFile holds the collector's address, in the state folder.
const addressFile = "collector"

// Options are what the program around the agent gives it.
type Options struct {
	Version string
	Log     *slog.Logger
	// Ready is called once the agent works, Alive at each reading of the metrics, so that
	// a service manager restarts one that hangs; nil: nobody asks.
	Ready, Alive func() error
	// Host is the machine to report on; nil: this one, without a helper for readings that
	// may hang.
	Host *probe.Host
}

// Run gathers and reports until ctx ends. It returns early only for what cannot heal
// by itself: a host that is not enrolled, a state folder that is in use or cannot be
// written.
//
// Order at the end: the probes stop, the session says goodbye, the spool closes.
func Run(ctx context.Context, cfg Config, opt Options) (err error) {
	if err := cfg.Check(); err != nil {
		return err
	}
	address, err := collectorAddress(cfg.StateDir)
	if err != nil {
		return err
	}
	sp, err := spool.Open(cfg.StateDir, spool.Config{MaxBytes: cfg.SpoolMaxBytes, MaxAge: cfg.SpoolMaxAge, Log: opt.Log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sp.Close()) }()
	local, err := listenStatus(cfg.StateDir)
	if err != nil {
		return err
	}
	host := opt.Host
	if host == nil {
		host = probe.LiveHost()
	}
	inventory := InventoryProbes(cfg)
	if err := remember(inventory, sp); err != nil {
		opt.Log.Warn("programs that do not run are forgotten", "err", err)
	}
	hello := helloOf(ctx, host, cfg, opt.Version)
	gathered := make(chan struct{}, 1)
	up := newUplink(cfg, opt, address, hello, sp)
	sched := probe.NewScheduler(probe.Config{
		Host:              host,
		Probes:            append(MetricProbes(cfg, opt.Version), inventory...),
		Sink:              sink{spool: sp, alive: opt.Alive, gathered: gathered},
		Dictionary:        sp.Dictionary(),
		Interval:          cfg.Interval,
		InventoryInterval: cfg.InventoryInterval,
		Name:              hello.Hostname + hello.MachineID,
		Disabled:          cfg.disabled(),
		Budget:            cfg.budget(),
		Log:               opt.Log,
	})
	if opt.Ready != nil {
		if err := opt.Ready(); err != nil {
			opt.Log.Warn("service manager does not know that the agent is ready", "err", err)
		}
	}
	status := statusOf(opt.Version, up, sp, sched)
	return runAll(ctx, up.Run, sched.Run,
		func(ctx context.Context) { local.serve(ctx, status) },
		func(ctx context.Context) { releaseMemory(ctx, gathered, sp.Path()) })
}

// remember tells probes that go on from what was reported before the agent was restarted.
func remember(probes []probe.Probe, sp *spool.Spool) error {
	for _, p := range probes {
		r, ok := p.(interface{ Remember(reported []facts.Row) })
		if !ok {
			continue
		}
		for _, section := range p.Info().Sections {
			rows, err := sp.Rows(section)
			if err != nil {
				return err
			}
			r.Remember(rows)
		}
	}
	return nil
}

func newUplink(cfg Config, opt Options, address string, hello wire.Hello, sp *spool.Spool) *uplink.Uplink {
	return uplink.New(uplink.Config{
		Address: address,
		Dir:     cfg.StateDir,
		Spool:   sp,
		Hello:   hello,
		Log:     opt.Log,
		Resync: func(sections []facts.ID) {
			if err := sp.Resync(sections); err != nil {
				opt.Log.Warn("sections not sent again", "err", err)
			}
		},
	})
}

// runAll runs the agent's loops until ctx ends, or until the session gives up for good.
func runAll(ctx context.Context, session func(context.Context) error, others ...func(context.Context)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var loops sync.WaitGroup
	for _, loop := range others {
		loops.Go(func() { loop(ctx) })
	}
	err := session(ctx)
	cancel()
	loops.Wait()
	return err
}

// releaseDelay is when the memory of an inventory goes back to the system: by then it
// is usually on its way to the collector, too.
const releaseDelay = 20 * time.Second

// releaseMemory gives back what an inventory and its packing took. The heap of an
// agent at rest grows so slowly that the runtime alone would do so after minutes.
func releaseMemory(ctx context.Context, gathered <-chan struct{}, spoolFile string) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-gathered:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(releaseDelay):
		}
		runtime.GC() // pools let go of their content in two collections
		debug.FreeOSMemory()
		releaseFiles(spoolFile)
	}
}

// helloOf is what the agent says of its host when it connects.
func helloOf(ctx context.Context, host *probe.Host, cfg Config, version string) wire.Hello {
	hello := wire.Hello{
		AgentVersion:   version,
		OS:             runtime.GOOS,
		Arch:           runtime.GOARCH,
		MachineID:      osinfo.MachineID(host),
		IntervalMillis: cfg.Interval.Milliseconds(),
		Facts:          IdentityFacts(host),
		Run:            rand.Uint64() | 1, // never 0, which is an agent that does not tell
	}
	for _, r := range probe.RunOnce(ctx, host, osinfo.New()).Readings {
		for _, row := range r.Rows {
			if os, ok := row.(*facts.OSRow); ok {
				hello.Hostname = os.Hostname
			}
		}
	}
	if hello.Hostname == "" {
		hello.Hostname, _ = os.Hostname() // a host without a name is shown by its number
	}
	return hello
}

// sink puts what the scheduler gathers into the spool.
type sink struct {
	spool    *spool.Spool
	alive    func() error
	gathered chan<- struct{} // told of each inventory; room for one
}

func (s sink) Metrics(f metric.Frame) error {
	var alive error
	if s.alive != nil {
		alive = s.alive()
	}
	return errors.Join(s.spool.AppendMetrics([]metric.Frame{f}), alive)
}

func (s sink) Inventory(readings []facts.Reading) error {
	select {
	case s.gathered <- struct{}{}:
	default:
	}
	return s.spool.AppendInventory(lasting(readings))
}

// lasting leaves out what is no fact to be kept: the number of the process that holds a
// socket is another one after each restart of a service. `inventory` shows it.
func lasting(readings []facts.Reading) []facts.Reading {
	for _, r := range readings {
		if r.Section != facts.ListeningSockets {
			continue
		}
		for i, row := range r.Rows {
			if s, ok := row.(*facts.ListeningSocketRow); ok && s.PID != 0 {
				own := *s
				own.PID = 0
				r.Rows[i] = &own
			}
		}
	}
	return readings
}

func (c Config) disabled() []facts.ID {
	var ids []facts.ID
	for _, name := range c.DisabledSections {
		if s, ok := facts.ByName(name); ok { // Check saw to it
			ids = append(ids, s.ID)
		}
	}
	return ids
}

// Enrolled is the outcome of Enroll.
type Enrolled struct {
	ID        string // the host's number
	Collector string // its address
}

// EnrollOptions say how to enrol.
type EnrollOptions struct {
	TokenFile string // "-" is standard input
	Address   string // of the collector; empty: the token's
	// Host is the machine to enrol; nil: this one.
	Host *probe.Host
	// Replace gives an enrolled host a new key and with it a new identity, for one whose
	// key was revoked. What waits in its spool is kept.
	Replace bool
}

// Enroll makes this host known to a collector by a token.
func Enroll(ctx context.Context, cfg Config, o EnrollOptions) (Enrolled, error) {
	token, err := readToken(o.TokenFile)
	if err != nil {
		return Enrolled{}, err
	}
	address := cmp.Or(o.Address, token.Address)
	if err := identity.CheckAddress(address); err != nil {
		return Enrolled{}, err
	}
	if err := mayEnroll(cfg.StateDir, o.Replace); err != nil {
		return Enrolled{}, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return Enrolled{}, fmt.Errorf("host name: %w", err)
	}
	dir := cfg.StateDir
	if o.Replace {
		dir = filepath.Join(cfg.StateDir, "new") // the old identity stands until there is another
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Enrolled{}, stateError(err)
	}
	if o.Host == nil {
		o.Host = probe.LiveHost()
	}
	cred, err := uplink.Enroll(ctx, uplink.Enrolment{Dir: dir, Token: &token, Address: address, Hostname: hostname, Facts: IdentityFacts(o.Host)})
	if err != nil {
		return Enrolled{}, err
	}
	// The address goes first: a host counts as enrolled once it has its certificate.
	if err := identity.WriteFile(filepath.Join(cfg.StateDir, addressFile), []byte(address+"\n")); err != nil {
		return Enrolled{}, stateError(err)
	}
	if o.Replace {
		if err := errors.Join(cred.Save(cfg.StateDir), os.RemoveAll(dir)); err != nil {
			return Enrolled{}, stateError(err)
		}
	}
	id, err := cred.HostID()
	if err != nil {
		return Enrolled{}, err
	}
	return Enrolled{ID: id.String(), Collector: address}, nil
}

// mayEnroll refuses to take a working identity from a host without being told to, and
// from under a running agent at all.
func mayEnroll(dir string, replace bool) error {
	_, err := identity.LoadCredentials(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil && !replace:
		return stateError(err)
	case !replace:
		return fmt.Errorf("this host is enrolled already (state in %s): to give it a new identity, stop the agent and add --replace", dir)
	}
	if st, err := ReadStatus(dir); err == nil {
		return fmt.Errorf("the agent runs (process %d): stop it first", st.PID)
	}
	return nil
}

// stateError is the error of what lies in the state folder: it cannot be read, or it can and
// makes no sense.
func stateError(err error) error {
	if !errors.As(err, new(*fs.PathError)) && !errors.As(err, new(*os.LinkError)) {
		return fmt.Errorf("state folder: %w (damaged: get a token at the collector, stop the agent and run `atalaya-agent enroll --replace --token-file FILE`)", err)
	}
	return fmt.Errorf("state folder: %w (run as root, or choose another with --state)", err)
}

// maxToken is more than any token has, in bytes.
const maxToken = 4096

func readToken(file string) (identity.Token, error) {
	in := io.Reader(os.Stdin)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return identity.Token{}, fmt.Errorf("token: %w (put there what `atalaya token create` prints at the collector, or give - to paste it)", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxToken))
	if err != nil {
		return identity.Token{}, fmt.Errorf("token: %w", err)
	}
	token, err := identity.ParseToken(string(text))
	if err != nil {
		return identity.Token{}, fmt.Errorf("token in %s: %w", file, err)
	}
	return token, nil
}

func notEnrolled(dir string) error {
	return fmt.Errorf("this host is not enrolled (no certificate in %s): get a token with `atalaya token create` at the collector, then run `atalaya-agent enroll --token-file FILE`", dir)
}

// collectorAddress returns where the collector of an enrolled host is.
func collectorAddress(dir string) (string, error) {
	_, err := identity.LoadCredentials(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", notEnrolled(dir)
	case err != nil:
		return "", stateError(err)
	}
	return readAddress(dir)
}

func readAddress(dir string) (string, error) {
	file := filepath.Join(dir, addressFile)
	b, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", notEnrolled(dir)
	case err != nil:
		return "", stateError(err)
	}
	address := strings.TrimSpace(string(b))
	if err := identity.CheckAddress(address); err != nil {
		return "", fmt.Errorf("%s: %w (write the collector's host:port into it)", file, err)
	}
	return address, nil
}

// HostID is the number of the host as its certificate has it; "" before it is enrolled.
func HostID(dir string) string {
	cred, err := identity.LoadCredentials(dir)
	if err != nil {
		return ""
	}
	id, err := cred.HostID()
	if err != nil {
		return ""
	}
	return id.String()
}

// NewLog returns a logger of lines for people and journals; level is one of Config's.
func NewLog(w io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: l}))
}
