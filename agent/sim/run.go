package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"atalaya/agent/uplink"
	"atalaya/shared/identity"
)

// Config of a run. StateDir is required, Tokens for hosts that are not yet enrolled; a period of zero never
// comes.
type Config struct {
	Shape
	Agents         int
	Address        string        // of the collector, host:port; default the tokens', then that of the run before
	Tokens         string        // file with a token for each host that is not yet enrolled, one a line
	StateDir       string        // keys and certificates of the hosts, and the ledger
	Ramp           float64       // hosts that start in a second
	Days           int           // of the past that each host has to tell
	ChangesPerDay  int           // in that past
	Interval       time.Duration // between readings of the metrics
	ChangeEvery    time.Duration // between changes of a host
	InventoryEvery time.Duration // between inventories that find nothing new
	Settle         bool          // tell the past only, and end once it is acknowledged
	Faults         Faults
	Talk           io.Writer // progress, for people
}

const (
	// progressEvery lies between two lines of progress.
	progressEvery = 5 * time.Second
	// enrolers is how many hosts enrol at once; more would only wait for the collector.
	enrolers = 8
	// drainTime is for what is owed when a run ends; an agent keeps it in its spool, a
	// simulated one would forget it.
	drainTime = time.Minute
)

// run is the state of one Run.
type run struct {
	cfg     Config
	fleet   *Fleet
	ledger  *Ledger
	tokens  *tokenFile
	began   time.Time
	started atomic.Int64

	mu     sync.Mutex // guards what follows
	agents []*agent
	failed error
}

// Run runs the fleet until ctx ends, and then until all that is owed is acknowledged,
// for a minute at most. It may be run again on the same state: hosts keep their
// identity and go on where the ledger says.
func Run(ctx context.Context, cfg Config) (err error) {
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		return err
	}
	lock, err := lockState(cfg.StateDir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if cfg.Shape, err = keepShape(cfg.StateDir, cfg.Shape); err != nil {
		return err
	}
	r := &run{cfg: cfg, fleet: NewFleet(cfg.Shape), began: time.Now()}
	if r.tokens, err = openTokens(cfg.Tokens); err != nil {
		return err
	}
	if r.cfg.Address, err = keepAddress(cfg.StateDir, cmp.Or(cfg.Address, r.tokens.address())); err != nil {
		return err
	}
	if r.ledger, err = OpenLedger(cfg.StateDir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.ledger.Close()) }()
	sessions, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if cfg.Settle {
		r.cfg.Interval, r.cfg.ChangeEvery, r.cfg.InventoryEvery = 0, 0, 0
	}
	var loops sync.WaitGroup
	loops.Go(func() { r.watch(ctx, sessions, cancel) })
	r.startAll(ctx, sessions, &loops, cancel)
	loops.Wait()
	r.progress()
	return r.failed
}

// startAll starts the hosts at the ramp's rate. They make reports until ctx ends and
// hold their sessions until the other context does.
func (r *run) startAll(ctx, sessions context.Context, loops *sync.WaitGroup, cancel func()) {
	gap := time.NewTicker(max(time.Duration(float64(time.Second)/max(r.cfg.Ramp, 0.1)), time.Microsecond))
	defer gap.Stop()
	slots := make(chan struct{}, enrolers)
	for n := range r.cfg.Agents {
		select {
		case <-ctx.Done():
			return
		case <-sessions.Done():
			return
		case <-gap.C:
		}
		slots <- struct{}{}
		loops.Go(func() {
			a, err := r.prepare(ctx, n)
			<-slots
			if err == nil {
				r.started.Add(1)
				err = a.run(ctx, sessions, r.cfg, r.dir(n))
			}
			if err != nil && ctx.Err() == nil {
				r.fail(fmt.Errorf("host %s: %w", r.cfg.hostName(n), err))
				cancel()
			}
		})
	}
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
}

func (r *run) dir(n int) string {
	return filepath.Join(r.cfg.StateDir, fmt.Sprintf("%03d", n/1000), fmt.Sprintf("%06d", n))
}

// prepare enrols a host where it is not, and brings it to where the ledger saw it last.
func (r *run) prepare(ctx context.Context, n int) (*agent, error) {
	creds, err := identity.LoadCredentials(r.dir(n))
	if errors.Is(err, fs.ErrNotExist) {
		creds, err = r.enrol(ctx, n)
	}
	if err != nil {
		return nil, err
	}
	id, err := creds.HostID()
	if err != nil {
		return nil, err
	}
	host := r.fleet.NewHost(n)
	for known := r.ledger.step(n); host.step < known; {
		host.Change(0)
	}
	past := pastOf(r.cfg, r.began)
	a := newAgent(r.fleet, r.ledger, host, id.String(), r.began.AddDate(0, 0, -r.cfg.Days).UnixMilli())
	if host.step < len(past) {
		a.owe(past[host.step:]...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.agents = append(r.agents, a)
	return a, nil
}

// pastOf spreads the changes of the past evenly over its days.
func pastOf(cfg Config, now time.Time) []owed {
	n := cfg.Days * cfg.ChangesPerDay
	list := make([]owed, 0, n)
	for i := range n {
		ago := time.Duration(cfg.Days) * 24 * time.Hour * time.Duration(n-i) / time.Duration(n+1)
		list = append(list, owed{dutyChange, now.Add(-ago).UnixMilli()})
	}
	return list
}

func (r *run) enrol(ctx context.Context, n int) (*identity.Credentials, error) {
	token, err := r.tokens.next()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(r.dir(n), 0o700); err != nil {
		return nil, err
	}
	request := uplink.Enrolment{Dir: r.dir(n), Token: &token, Address: r.cfg.Address, Hostname: r.cfg.hostName(n)}
	for given := time.Now(); ; {
		creds, err := uplink.Enroll(ctx, request)
		var end *uplink.End
		busy := errors.As(err, &end) && (end.Result == uplink.Overloaded || end.Result == uplink.Unreachable || end.Result == uplink.Lost)
		if n == 0 || !busy || time.Since(given) > enrolPatience {
			return creds, err
		}
		select { // whoever installs a thousand machines at once asks again too
		case <-ctx.Done():
			return nil, err
		case <-time.After(rand.N(enrolPause)):
		}
	}
}

// While the collector has too much to do a host asks again for so long, after pauses of
// up to so much; not the first host, since nobody may be there at all.
const (
	enrolPatience = time.Minute
	enrolPause    = 5 * time.Second
)

// watch syncs the ledger, tells of the progress, and ends the sessions when all that
// is owed at the end of the run is acknowledged.
func (r *run) watch(ctx, sessions context.Context, cancel func()) {
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	told := time.Now()
	var named map[int]bool // hosts that are refused, as was told
	var over time.Time     // when the run ended
	for {
		select {
		case <-sessions.Done():
			return
		case <-tick.C:
		}
		if err := r.ledger.Sync(); err != nil {
			r.fail(err)
			cancel()
		}
		if time.Since(told) >= progressEvery {
			told = time.Now()
			r.progress()
		}
		busy, refused := r.owing()
		named = r.name(refused, named)
		if over.IsZero() && (ctx.Err() != nil || r.cfg.Settle && r.count() == r.cfg.Agents) {
			over = time.Now()
		}
		if over.IsZero() {
			continue
		}
		if busy > 0 && ctx.Err() != nil && time.Since(over) > drainTime {
			r.fail(fmt.Errorf("%d hosts have reports that were not acknowledged within %s of the end", busy, drainTime))
			busy = 0
		}
		if busy > 0 {
			continue
		}
		if len(refused) > 0 {
			r.fail(r.cfg.refusal(refused))
		}
		cancel()
	}
}

func (r *run) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.agents)
}

// refusedHost is a host that the collector will not have any more.
type refusedHost struct {
	number int
	why    string
}

// owing counts the hosts that wait for an acknowledgement, and returns those among them
// that wait in vain, by number.
func (r *run) owing() (busy int, refused []refusedHost) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.agents {
		if a.idle() {
			continue
		}
		if why := a.refused(); why != "" {
			refused = append(refused, refusedHost{a.host.number, why})
		} else {
			busy++
		}
	}
	slices.SortFunc(refused, func(a, b refusedHost) int { return cmp.Compare(a.number, b.number) })
	return busy, refused
}

// name tells of the hosts that are refused and were not so before, and returns all.
func (r *run) name(refused []refusedHost, before map[int]bool) map[int]bool {
	now := map[int]bool{}
	for _, h := range refused {
		if !before[h.number] && len(now) < maxNamed {
			fmt.Fprintf(r.cfg.Talk, "host %s: %s\n", r.cfg.hostName(h.number), h.why)
		}
		now[h.number] = true
	}
	return now
}

// maxNamed is how many hosts are told of by name; a whole fleet may be refused.
const maxNamed = 10

// refusal is the error of a run in which hosts were refused.
func (s Shape) refusal(refused []refusedHost) error {
	var names []string
	for _, h := range refused[:min(len(refused), maxNamed)] {
		names = append(names, s.hostName(h.number))
	}
	if more := len(refused) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return fmt.Errorf("hosts that the collector refuses have reports that were not acknowledged: %s; the first: %s", strings.Join(names, ", "), refused[0].why)
}

func (r *run) progress() {
	hosts, all := r.ledger.totals()
	fmt.Fprintf(r.cfg.Talk, "%5.0f s  %d of %d hosts started, %d known to the collector; acknowledged: %d batches, %d changed rows, %d samples\n",
		time.Since(r.began).Seconds(), r.started.Load(), r.cfg.Agents, hosts, all.Batches, all.Rows, all.Samples)
}

// tokenFile gives one token after the other.
type tokenFile struct {
	mu    sync.Mutex // guards what follows
	lines []string
}

func openTokens(name string) (*tokenFile, error) {
	if name == "" {
		return &tokenFile{}, nil
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("tokens: %w", err)
	}
	return &tokenFile{lines: strings.Fields(string(text))}, nil
}

// address is what the first token says of its collector; empty: there is none.
func (t *tokenFile) address() string {
	if len(t.lines) == 0 {
		return ""
	}
	token, err := identity.ParseToken(t.lines[0])
	if err != nil {
		return "" // next says why
	}
	return token.Address
}

func (t *tokenFile) next() (identity.Token, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return identity.Token{}, errors.New("no token is left: make more with `atalaya token create --count N`")
	}
	line := t.lines[0]
	t.lines = t.lines[1:]
	return identity.ParseToken(line)
}
