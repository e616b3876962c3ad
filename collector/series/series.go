// Package series is the only door to the metrics engine: it stores samples by
// reference and answers PromQL.
//
// The engine is Prometheus' tsdb and promql, as libraries. It is hidden here
// because it may be replaced: no other package sees its types.
//
// A [Session] belongs to one connection of an agent and knows the engine's
// reference of each series number of that agent, so that no label is built or
// looked up per sample. An [Appender] gathers frames of many sessions; its Commit
// writes them to the engine's log, and [DB.Sync] makes the log durable. Nothing may
// be acknowledged before Sync returned nil.
//
// Every series of an agent carries the labels host (its name) and host_id. A series
// that has labels of these names keeps them as exported_host and exported_host_id,
// as Prometheus does.
//
// Invariants: a moment of a series has one value, the first that was stored; the
// same batch stored again changes nothing; one host cannot push the others out, by
// time (samples from the future are refused) or by number (Config.HostSeries).
//
// [DB.Load] opens the engine, which reads its log: seconds for each million series. All
// else works before: sessions may define series, while questions and samples are refused
// with [ErrLoading].
//
// The engine owns one goroutine for compaction and retention, the database one that opens
// it and then looks for free space, both from Load to Close.
package series

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/tsdbutil"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"

	"atalaya/shared/metric"
)

// Defaults of Config.
const (
	DefaultRetention        = 30 * 24 * time.Hour
	DefaultOutOfOrderWindow = 7 * 24 * time.Hour // the spool's longest memory
	DefaultHostSeries       = 20000
	DefaultQueryTimeout     = 2 * time.Minute // as Prometheus' query.timeout
	DefaultQuerySamples     = 50_000_000      // as Prometheus' query.max-samples
)

const (
	// stripes of the engine's series table. Each holds a lock and maps, also in an
	// empty database; the default of 16,384 serves tens of concurrent scrapers, here one
	// committer writes.
	stripes = 1 << 10
	// headBuffer is the write buffer of head chunk files, the engine's least; its
	// default is 4 MiB, which stays in memory whole.
	headBuffer = chunks.MinWriteBufferSize
	// blockRange is how much time the engine keeps in memory before it writes a block.
	blockRange = 2 * time.Hour
	// longestBlock bounds merged blocks, as Prometheus does: a tenth of the retention,
	// at most 31 days.
	longestBlock = 31 * 24 * time.Hour
	// closeTime is how long Close waits for what runs: a query ends within
	// milliseconds of its context, except in the few places where it has none.
	closeTime = 10 * time.Second
	// loadGrace is how long Close waits for an engine that is being opened: an empty one
	// is open by then, and any other may as well be opened anew by the next process.
	loadGrace = time.Second
)

// Config of a DB. Only Dir is required.
type Config struct {
	Dir              string
	Retention        time.Duration    // default DefaultRetention
	OutOfOrderWindow time.Duration    // older samples than this are lost; default DefaultOutOfOrderWindow
	HostSeries       int              // series a host may have in memory; default DefaultHostSeries
	QueryTimeout     time.Duration    // default DefaultQueryTimeout
	QuerySamples     int              // samples one query may hold in memory; default DefaultQuerySamples
	Catalogue        []metric.Desc    // answers Metadata
	Now              func() time.Time // default time.Now
	Log              *slog.Logger     // default slog.Default; gets the engine's warnings only
}

func (c Config) withDefaults() Config {
	if c.Retention <= 0 {
		c.Retention = DefaultRetention
	}
	if c.OutOfOrderWindow <= 0 {
		c.OutOfOrderWindow = DefaultOutOfOrderWindow
	}
	if c.HostSeries <= 0 {
		c.HostSeries = DefaultHostSeries
	}
	if c.QueryTimeout <= 0 {
		c.QueryTimeout = DefaultQueryTimeout
	}
	if c.QuerySamples <= 0 {
		c.QuerySamples = DefaultQuerySamples
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}

// DB is an open metrics database. All methods may be called concurrently.
type DB struct {
	cfg    Config
	log    *slog.Logger
	lock   *tsdbutil.DirLocker
	parser parser.Parser
	engine *promql.Engine
	slots  chan struct{} // one for each query that runs

	hosts   *hostSeries
	wblLost *failureCounter

	// mu is locked after space.mu by those who lock both.
	mu         sync.RWMutex // guards db, generation, closed, failed; read-locked while db is used
	db         *tsdb.DB
	generation uint64 // of db; references of an older one are void
	closed     bool
	failed     error // why Load has not succeeded

	begun  atomic.Bool   // Load was called, or Close
	opened chan struct{} // closed when Load has succeeded
	replay *tsdb.DBStats // how far an opening is
	again  atomic.Bool   // the engine is being opened again, with mu locked

	stop      chan struct{} // closed at Close: ends queries
	stopping  atomic.Bool   // stop is closed
	closing   atomic.Bool   // the engine is being closed, or Close gave up
	broken    atomic.Bool   // a commit failed: see reopenLocked
	appenders atomic.Uint64 // numbers Appenders
	trouble   trouble
	trial     string // path of the file of mayReopen
	space     space
	watched   chan struct{} // closed when the goroutine of Load has ended

	syncMu sync.Mutex // guards wal and wbl
	wal    logFiles
	wbl    logFiles

	tallyMu sync.Mutex // guards tally
	tally   Tally

	closeTime time.Duration // closeTime, except in tests
}

// ErrClosed: the database was closed.
var ErrClosed = errors.New("series database is closed")

// Open opens or creates the database in cfg.Dir, without its engine: see Load.
func Open(cfg Config) (*DB, error) {
	if cfg.Dir == "" {
		return nil, errors.New("open series: no directory given")
	}
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open series: %w", err)
	}
	lock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	d := &DB{
		cfg:     cfg,
		log:     slog.New(warningsOnly{cfg.Log.With("from", "tsdb").Handler()}),
		lock:    lock,
		slots:   make(chan struct{}, queriesAtOnce),
		stop:    make(chan struct{}),
		hosts:   newHostSeries(cfg.HostSeries),
		wblLost: &failureCounter{name: wblFailures},
		opened:  make(chan struct{}),
		replay:  tsdb.NewDBStats(),

		trial:     filepath.Join(cfg.Dir, trialName),
		space:     space{need: trialBytes},
		watched:   make(chan struct{}),
		closeTime: closeTime,
		wal:       logFiles{dir: filepath.Join(cfg.Dir, "wal")},
		wbl:       logFiles{dir: filepath.Join(cfg.Dir, wlog.WblDirName)},
	}
	d.parser = parser.NewParser(parser.Options{})
	d.engine = d.newEngine()
	return d, nil
}

// lockDir keeps a second process out; the operating system releases the lock of a
// process that ends in any way.
func lockDir(dir string) (*tsdbutil.DirLocker, error) {
	lock, err := tsdbutil.NewDirLocker(dir, "tsdb", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return nil, fmt.Errorf("lock series directory %q: %w", dir, err)
	}
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("series directory %q cannot be locked (is another collector running on it?): %w", dir, err)
	}
	return lock, nil
}

// openEngine opens the database proper; nobody has one meanwhile.
func (d *DB) openEngine() (*tsdb.DB, error) {
	opts := tsdb.DefaultOptions()
	opts.NoLockfile = true // lockDir holds it, also while the engine is opened again
	opts.RetentionDuration = d.cfg.Retention.Milliseconds()
	opts.OutOfOrderTimeWindow = d.cfg.OutOfOrderWindow.Milliseconds()
	opts.MinBlockDuration = blockRange.Milliseconds()
	opts.MaxBlockDuration = max(blockRange, min(longestBlock, d.cfg.Retention/10)).Milliseconds()
	opts.StripeSize = stripes
	opts.HeadChunksWriteBufferSize = headBuffer
	opts.WALCompression = compression.Snappy
	opts.EnableMemorySnapshotOnShutdown = true
	opts.SeriesLifecycleCallback = d.hosts

	for _, files := range []*logFiles{&d.wal, &d.wbl} {
		if err := errors.Join(mendLog(files.dir, d.log), files.start()); err != nil {
			return nil, fmt.Errorf("open series: %w", err)
		}
	}
	d.hosts.reset()
	d.wblLost.reset()
	db, err := tsdb.Open(d.cfg.Dir, d.log, d.wblLost, opts, d.replay)
	if err != nil {
		return nil, fmt.Errorf("open series: %w", err)
	}
	return db, nil
}

// reopenLocked replaces the engine after a failed commit. Such a commit may leave series
// in memory whose definition is not in the log; samples stored for them later would
// be in the log without a name and lost in the next replay. Opening again takes the
// state that the log has. Call with d.mu locked.
func (d *DB) reopenLocked() error {
	if d.db != nil {
		// The log is closed or full; what matters was synced or was never acknowledged.
		if err := closeDB(d.db); err != nil {
			d.cfg.Log.Warn("metrics engine closed with losses after a failed write", "err", err)
		}
		d.db = nil
	}
	d.again.Store(true)
	defer d.again.Store(false)
	db, err := d.openEngine()
	if err != nil {
		return err
	}
	d.db = db
	d.generation++
	d.broken.Store(false)
	return nil
}

// use calls fn with the engine, which stays open meanwhile.
func (d *DB) use(fn func(*tsdb.DB) error) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return ErrClosed
	}
	if d.db == nil {
		return d.absentLocked()
	}
	return fn(d.db)
}

// Close ends all queries that run, writes a snapshot of the newest samples, so that
// the next Open need not replay the log, and releases the directory. It waits a
// bounded time for a query that does not end; without it the snapshot is missing and
// the directory stays locked until the process ends, but nothing synced is lost. An
// engine that is still being opened is left alone likewise, which is no fault.
func (d *DB) Close() error {
	if !d.stopping.CompareAndSwap(false, true) {
		return nil
	}
	close(d.stop)
	if d.begun.CompareAndSwap(false, true) {
		close(d.watched) // Load will not begin any more
	}
	closed := make(chan error, 1)
	go func() { closed <- d.closeEngine() }()
	if !d.settles(loadGrace) {
		return nil
	}
	give := time.NewTimer(d.closeTime)
	defer give.Stop()
	waiting := give.C
	for {
		select {
		case err := <-closed:
			return err
		case <-waiting:
			// Either it still waits for its turn, or it writes, which must end.
			if d.closing.CompareAndSwap(false, true) {
				return fmt.Errorf("close series: a query did not end within %s", d.closeTime)
			}
			waiting = nil
		}
	}
}

// closeEngine closes the engine as soon as nobody uses it, unless Close gave up.
func (d *DB) closeEngine() error {
	<-d.watched
	d.space.mu.Lock()
	defer d.space.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if !d.closing.CompareAndSwap(false, true) {
		return nil
	}
	err := errors.Join(d.engine.Close(), d.releaseLocked())
	if d.db != nil {
		err = errors.Join(err, closeDB(d.db))
	}
	if err = errors.Join(err, d.lock.Release()); err != nil {
		return fmt.Errorf("close series: %w", err)
	}
	return nil
}

// Stats tells of the database as a whole.
type Stats struct {
	Series       uint64 // in memory, those of the last hours
	Blocks       int    // on disk
	OldestMillis int64  // of the oldest block or sample; 0 when empty
	Tally        Tally  // since Open
}

// Stats returns counts since Open and present sizes.
func (d *DB) Stats() (Stats, error) {
	var st Stats
	if err := d.reopening(); err != nil {
		return st, err
	}
	err := d.use(func(db *tsdb.DB) error {
		st.Series = db.Head().NumSeries()
		st.Blocks = len(db.Blocks())
		if st.Series == 0 && st.Blocks == 0 {
			return nil
		}
		var err error
		st.OldestMillis, err = db.StartTime()
		return err
	})
	d.tallyMu.Lock()
	st.Tally = d.tally
	d.tallyMu.Unlock()
	return st, err
}

// warningsOnly passes warnings and errors of the engine: it tells of each
// compaction otherwise.
type warningsOnly struct{ slog.Handler }

func (h warningsOnly) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h warningsOnly) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warningsOnly{h.Handler.WithAttrs(attrs)}
}

func (h warningsOnly) WithGroup(name string) slog.Handler {
	return warningsOnly{h.Handler.WithGroup(name)}
}
