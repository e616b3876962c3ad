package series

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/collector/store/smalldisk"
	"atalaya/shared/metric"
)

func TestFullDiskIsNamedAndAnswersQueries(t *testing.T) {
	disk := smalldisk.New(t, "4m")
	now := testNow
	cfg := testConfig(disk.Dir)
	cfg.Now = func() time.Time { return now }
	d := open(t, cfg)
	s := d.Session(testHost, "a")
	define(t, s, gauge("x"))
	put(t, d, s, now, 1)
	n := uint32(1)
	ballast := disk.Dir + "/ballast"
	commit := func(between ...func()) error {
		var frame []metric.Sample
		for range 500 {
			if err := s.Define(n, gauge("z", "n", fmt.Sprint(n), "text", fmt.Sprint(rand.Uint64(), rand.Uint64()))); err != nil {
				t.Fatal(err)
			}
			frame = append(frame, metric.Sample{Series: n, Value: 1})
			n++
		}
		a := d.Begin(t.Context())
		for _, do := range between {
			do()
		}
		a.Append(s, now.UnixMilli(), frame)
		return a.Commit()
	}
	err := commit(func() { fill(t, ballast) })
	opened := d.generation
	for range 5 {
		now = now.Add(longestWait)
		if err := commit(); err == nil {
			t.Fatal("a commit on a full disk gave no error")
		}
	}
	if want := "since 2026-03-01T12:00:00Z: no space left on device"; err == nil || !strings.Contains(d.Trouble(), want) {
		t.Errorf("%v, trouble %q, want %q in it", err, d.Trouble(), want)
	}
	if got := points(t, d, "x"); got != "0=1" || d.generation != opened {
		t.Errorf("on the full disk: %s, opened %d times", got, d.generation-opened)
	}
	disk.Grow("32m")
	now = now.Add(longestWait)
	if err := commit(); err != nil || d.Trouble() != "" || d.generation != opened+1 {
		t.Errorf("with space again: %v, trouble %q, opened %d times", err, d.Trouble(), d.generation-opened)
	}
}

// fill writes a file until the disk is full.
func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if f.Close(); !strings.Contains(err.Error(), "no space") {
		t.Fatal(err)
	}
}

func TestStartOnAFullDiskLosesNothing(t *testing.T) {
	disk := smalldisk.New(t, "2m")
	if err := os.CopyFS(disk.Dir, os.DirFS(killed(t))); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(disk.Dir, heldName)); err != nil {
		t.Fatal(err)
	}
	fill(t, disk.Dir+"/ballast")
	now := testNow
	cfg := testConfig(disk.Dir)
	cfg.Now = func() time.Time { return now }
	d := open(t, cfg)
	for range 3 {
		now = now.Add(longestWait)
		if err := commitOne(t, d, now); err == nil {
			t.Error("a commit on a full disk gave no error")
		}
	}
	if want := "since 2026-03-01T12:00:00Z: no space left on device"; !strings.Contains(d.Trouble(), want) {
		t.Errorf("trouble %q, want %q in it", d.Trouble(), want)
	}
	disk.Grow("32m")
	now = now.Add(longestWait)
	if err := commitOne(t, d, now); err != nil || d.Trouble() != "" {
		t.Errorf("with space again: %v, trouble %q", err, d.Trouble())
	}
	if got, want := points(t, d, "x"), killedPoints; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// crowd is so many series that a chunk of each is some of a small disk.
const crowd = 2000

// crowded stores groups of samples of which each cuts a chunk of every series.
type crowded struct {
	d     *DB
	s     *Session
	at    time.Time
	acked int // frames
}

func newCrowded(t *testing.T, cfg Config) *crowded {
	c := &crowded{d: open(t, cfg), at: testNow.Add(-2 * time.Hour)}
	c.s = c.d.Session(testHost, "a")
	for n := range uint32(crowd) {
		if err := c.s.Define(n, gauge("x", "n", fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// commit stores frames in one group, with values that cannot be compressed.
func (c *crowded) commit(t *testing.T, frames int) error {
	return errors.Join(c.gather(t, frames).Commit(), c.d.Sync())
}

func (c *crowded) gather(t *testing.T, frames int) *Appender {
	a := c.d.Begin(t.Context())
	frame := make([]metric.Sample, crowd)
	for range frames {
		for n := range frame {
			frame[n] = metric.Sample{Series: uint32(n), Value: rand.Float64()}
		}
		at := c.at.Add(time.Second)
		if tally := a.Append(c.s, at.UnixMilli(), frame); tally.Stored == crowd {
			c.at, c.acked = at, c.acked+1
		}
	}
	return a
}

func (c *crowded) check(t *testing.T, d *DB) {
	t.Helper()
	want := fmt.Sprintf("%q", fmt.Sprint(crowd*c.acked))
	if got := ask(t, d, "sum(count_over_time(x[3h]))", testNow); !strings.Contains(got, want) {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestDiskThatFillsBesideDoesNotEndTheProcess: the engine writes its chunks once a minute in
// a goroutine of its own, for which ForceHeadMMap stands here.
func TestDiskThatFillsBesideDoesNotEndTheProcess(t *testing.T) {
	disk := smalldisk.New(t, "48m")
	ballast := disk.Dir + "/ballast"
	c := newCrowded(t, testConfig(disk.Dir))
	refused := func() {
		t.Helper()
		c.d.db.ForceHeadMMap()
		own := Vector{{Labels: []metric.Label{{Name: nameLabel, Value: "up"}}, At: testNow.UnixMilli(), Value: 1}}
		if c.commit(t, 1) == nil || c.d.Record(t.Context(), own) == nil {
			t.Error("samples were taken on a full disk")
		}
		if got := c.d.Trouble(); !strings.Contains(got, "no space left on device: ") || !strings.Contains(got, "MiB must be") {
			t.Errorf("trouble %q", got)
		}
		c.check(t, c.d)
		if err := os.Remove(ballast); err != nil {
			t.Fatal(err)
		}
		if err := c.commit(t, 1); err != nil || c.d.Trouble() != "" || c.d.generation != 1 {
			t.Errorf("with space again: %v, trouble %q, opened %d times", err, c.d.Trouble(), c.d.generation)
		}
	}
	// At once, to the last byte.
	if err := errors.Join(c.commit(t, 1), c.commit(t, 130)); err != nil {
		t.Fatal(err)
	}
	fill(t, ballast)
	if c.commit(t, 1) == nil {
		t.Error("samples were taken on a full disk")
	}
	refused()
	// Bit by bit, while samples come.
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		if _, err = f.Write(make([]byte, 1<<20)); err == nil {
			err = c.commit(t, 10)
		}
	}
	if f.Close(); !errors.As(err, &shortage{}) {
		t.Error(err)
	}
	refused()
	if err := c.d.Close(); err != nil {
		t.Error(err)
	}
	c.check(t, open(t, testConfig(disk.Dir)))
}

// TestChunksThatCannotBeWrittenCloseTheEngine: no space is held, as on a file system that
// cannot do that.
func TestChunksThatCannotBeWrittenCloseTheEngine(t *testing.T) {
	disk := smalldisk.New(t, "24m")
	c := newCrowded(t, testConfig(disk.Dir))
	if err := c.commit(t, 1); err != nil {
		t.Fatal(err)
	}
	a := c.gather(t, 130)
	c.d.space.mu.Lock() // nobody looks
	err := errors.Join(a.Commit(), c.d.Sync(), c.d.releaseLocked())
	fill(t, disk.Dir+"/ballast")
	c.d.yieldLocked()
	c.d.space.mu.Unlock()
	if err != nil || c.d.db != nil {
		t.Fatalf("%v, the engine is open: %v", err, c.d.db != nil)
	}
	if c.commit(t, 1) == nil || !strings.Contains(c.d.Trouble(), "no space left on device: 0.0 MiB are free, ") {
		t.Errorf("trouble %q", c.d.Trouble())
	}
	disk.Grow("64m")
	if err := c.commit(t, 1); err != nil || c.d.Trouble() != "" {
		t.Errorf("with space again: %v, trouble %q", err, c.d.Trouble())
	}
	c.check(t, c.d)
}
