package sim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"atalaya/shared/wire"
)

// Entry is one acknowledged batch in the ledger, a line of tab-separated fields in
// the order of the struct.
type Entry struct {
	Number  int    // of the host
	ID      string // of the host, as the collector knows it
	Kind    wire.Kind
	Step    int // changes of the host up to this batch
	Samples int
	Rows    int   // that the batch changed; a section sent whole counts none
	At      int64 // of the batch, ms since 1970
}

const entryFormat = "%d\t%s\t%d\t%d\t%d\t%d\t%d\n"

// Ledger notes each batch that the collector has acknowledged, in a file that is
// synced every syncEvery: after a kill it may know less than was acknowledged, never
// more. Safe for concurrent use.
type Ledger struct {
	mu    sync.Mutex // guards what follows
	file  *os.File
	w     *bufio.Writer
	sum   map[int]*Total
	dirty bool
}

const syncEvery = 200 * time.Millisecond

// Total is what the ledger says of one host.
type Total struct {
	ID      string
	Batches int
	Step    int // the last one acknowledged
	Samples int
	Rows    int
	First   int64 // earliest time of a batch, ms since 1970
	Last    int64 // latest time of a batch
}

// OpenLedger opens the ledger in the folder, or begins one, and reads what it says.
func OpenLedger(dir string) (*Ledger, error) {
	name := filepath.Join(dir, "ledger.tsv")
	sum, whole, err := readLedger(name)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	// A line that a kill has cut is not part of it.
	err = f.Truncate(whole)
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), f.Close())
	}
	return &Ledger{file: f, w: bufio.NewWriterSize(f, 1<<16), sum: sum}, nil
}

// ReadLedger returns what the ledger in the folder says, by number of the host.
func ReadLedger(dir string) (map[int]*Total, error) {
	name := filepath.Join(dir, "ledger.tsv")
	if _, err := os.Stat(name); err != nil {
		return nil, fmt.Errorf("read ledger: %w (give the --state of `atalaya-sim run`)", err)
	}
	sum, _, err := readLedger(name)
	return sum, err
}

// readLedger also returns the length of the whole lines.
func readLedger(name string) (sum map[int]*Total, whole int64, err error) {
	sum = make(map[int]*Total)
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return sum, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read ledger: %w", err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	for n := 1; ; n++ {
		line, err := in.ReadString('\n')
		if err != nil { // the end, or a line that was cut
			return sum, whole, nil
		}
		var e Entry
		if _, err := fmt.Sscanf(line, entryFormat, &e.Number, &e.ID, &e.Kind, &e.Step, &e.Samples, &e.Rows, &e.At); err != nil {
			return nil, 0, fmt.Errorf("read ledger %q: line %d: %w", name, n, err)
		}
		whole += int64(len(line))
		e.addTo(sum)
	}
}

func (e *Entry) addTo(sum map[int]*Total) {
	t := sum[e.Number]
	if t == nil {
		t = &Total{ID: e.ID, First: e.At}
		sum[e.Number] = t
	}
	t.Batches++
	t.Step = max(t.Step, e.Step)
	t.Samples += e.Samples
	t.Rows += e.Rows
	// A reading of metrics may be acknowledged before the first inventory.
	t.First, t.Last = min(t.First, e.At), max(t.Last, e.At)
}

func (l *Ledger) add(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := fmt.Fprintf(l.w, entryFormat, e.Number, e.ID, e.Kind, e.Step, e.Samples, e.Rows, e.At); err != nil {
		return fmt.Errorf("write ledger: %w", err)
	}
	e.addTo(l.sum)
	l.dirty = true
	return nil
}

// step returns how many changes of a host the collector has acknowledged.
func (l *Ledger) step(number int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.sum[number]; t != nil {
		return t.Step
	}
	return 0
}

// totals adds up the hosts.
func (l *Ledger) totals() (hosts int, all Total) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.sum {
		all.Batches += t.Batches
		all.Samples += t.Samples
		all.Rows += t.Rows
	}
	return len(l.sum), all
}

// Sync makes durable what was added.
func (l *Ledger) Sync() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.dirty {
		return nil
	}
	l.dirty = false
	return errors.Join(l.w.Flush(), l.file.Sync())
}

// Close syncs and closes.
func (l *Ledger) Close() error { return errors.Join(l.Sync(), l.file.Close()) }
