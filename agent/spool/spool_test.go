package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
	}
	if dir := os.Getenv("SPOOL_TEST_HOLDER"); dir != "" {
		holdUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

var testDesc = metric.Desc{Name: "node_test", Labels: []string{"n"}}

func open(t testing.TB, dir string, cfg Config) *Spool {
	t.Helper()
	s, err := Open(dir, cfg)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func reopen(t testing.TB, s *Spool) *Spool {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	return open(t, s.dir, s.cfg)
}

// frame makes a frame of n samples whose values tell the frame from others.
func frame(s *Spool, at int64, n int) metric.Frame {
	f := metric.Frame{At: at}
	for i := range n {
		id, ok := s.Dictionary().ID(&testDesc, fmt.Sprint(i))
		if ok {
			f.Samples = append(f.Samples, metric.Sample{Series: id, Value: float64(at)*1000 + float64(i)})
		}
	}
	return f
}

func users(status facts.Status, at int64, names ...string) facts.Reading {
	r := facts.Reading{Section: facts.Users, Status: status, At: facts.Time(at)}
	for _, n := range names {
		name, shell, _ := strings.Cut(n, ":")
		r.Rows = append(r.Rows, &facts.UserRow{Name: name, Shell: shell})
	}
	r.Rows = facts.Sort(r.Rows)
	return r
}

// hidden says of a reading that it may lack the given user only.
func hidden(r facts.Reading, name string) facts.Reading {
	r.Gone = func(row facts.Row) bool { return row.Key() != name }
	return r
}

// drain returns all waiting batches in order.
func drain(t testing.TB, s *Spool) []*wire.Batch {
	t.Helper()
	epoch, _ := s.Position()
	var out []*wire.Batch
	for after := uint64(0); ; {
		b, err := s.Next(epoch, after)
		if err != nil {
			t.Fatalf("Next(%d): %v", after, err)
		}
		if b == nil {
			return out
		}
		if b.Epoch != epoch || b.Seq <= after || !b.Verify() {
			t.Fatalf("Next(%d): epoch %x (want %x), seq %d, verified %v", after, b.Epoch, epoch, b.Seq, b.Verify())
		}
		after = b.Seq
		out = append(out, b)
	}
}

func ackAll(t testing.TB, s *Spool, batches []*wire.Batch) {
	t.Helper()
	for _, b := range batches {
		if err := s.Ack(b.Epoch, []uint64{b.Seq}); err != nil {
			t.Fatalf("Ack: %v", err)
		}
	}
}

func TestMetricsComeBackInOrderAfterReopen(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	now := time.Now().UnixMilli()
	var want []metric.Frame
	for i := range int64(20) {
		f := frame(s, now+i, int(i%5)+1)
		want = append(want, f)
		if err := s.AppendMetrics([]metric.Frame{f}); err != nil {
			t.Fatal(err)
		}
	}
	series := slices.Clone(s.Series())
	s = reopen(t, s)
	var got []metric.Frame
	for i, b := range drain(t, s) {
		if b.Seq != uint64(i+1) {
			t.Errorf("batch %d has number %d", i, b.Seq)
		}
		got = append(got, b.Frames...)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("frames (-want +got):\n%s", d)
	}
	if d := cmp.Diff(series, s.Dictionary().Series()); d != "" {
		t.Errorf("dictionary (-want +got):\n%s", d)
	}
}

func TestNumbersAreNeverGivenTwice(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	epoch, _ := s.Position()
	if err := s.AppendMetrics([]metric.Frame{frame(s, time.Now().UnixMilli(), 1)}); err != nil {
		t.Fatal(err)
	}
	ackAll(t, s, drain(t, s))
	s = reopen(t, s)
	if e, next := s.Position(); e != epoch || next != 2 {
		t.Errorf("epoch %x, next %d; want %x, 2", e, next, epoch)
	}
	if n := len(drain(t, s)); n != 0 {
		t.Errorf("%d acknowledged batches came back", n)
	}
}

func TestDictionaryStartsWithoutGoneSeriesWhenNothingNeedsThem(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	if err := s.AppendMetrics([]metric.Frame{frame(s, time.Now().UnixMilli(), 3)}); err != nil {
		t.Fatal(err)
	}
	if s = reopen(t, s); len(s.Dictionary().Series()) != 3 {
		t.Errorf("dictionary has %d series while a batch needs 3", len(s.Dictionary().Series()))
	}
	ackAll(t, s, drain(t, s))
	if s = reopen(t, s); len(s.Dictionary().Series()) != 0 {
		t.Errorf("dictionary has %d series that nobody needs", len(s.Dictionary().Series()))
	}
	f := frame(s, time.Now().UnixMilli(), 2)
	if err := s.AppendMetrics([]metric.Frame{f}); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if b := drain(t, s); len(b) != 1 || len(s.Series()) != 2 {
		t.Errorf("%d batches, %d series; want 1, 2", len(b), len(s.Series()))
	}
}

func TestInventoryReportsOnlyWhatChanged(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	// One line per reading: status, rows, and the update it must give.
	steps := []struct {
		reading  facts.Reading
		full     bool
		put, del int
	}{
		{users(facts.StatusOK, 1, "ann", "bob"), true, 2, 0},
		{users(facts.StatusOK, 2, "ann", "bob"), false, 0, 0},
		{users(facts.StatusOK, 3, "ann:/bin/sh", "bob", "cid"), false, 2, 0},
		{users(facts.StatusFailed, 4), false, 0, 0},
		{users(facts.StatusPartial, 5, "bob:/bin/sh"), false, 1, 0},
		{users(facts.StatusDenied, 6), false, 0, 0},
		{users(facts.StatusOK, 7, "bob:/bin/sh"), false, 0, 2},
		{users(facts.StatusEmpty, 8), false, 0, 1},
		{users(facts.StatusEmpty, 9), false, 0, 0},
		{users(facts.StatusOK, 10, "ann", "bob", "cid"), false, 3, 0},
		{hidden(users(facts.StatusPartial, 11, "dot"), "ann"), false, 1, 2},
		{hidden(users(facts.StatusFailed, 12), "ann"), false, 0, 0},
		{users(facts.StatusOK, 13, "dot"), false, 0, 1},
	}
	state := collected{}
	for i, step := range steps {
		if i%2 == 1 {
			s = reopen(t, s)
		}
		if err := s.AppendInventory([]facts.Reading{step.reading}); err != nil {
			t.Fatal(err)
		}
		batches := drain(t, s)
		u := batches[0].Updates[0]
		if len(batches) != 1 || u.Full != step.full || len(u.Put) != step.put || len(u.Removed) != step.del || u.Status != step.reading.Status {
			t.Errorf("step %d: %d batches, %+v; want full %v, put %d, removed %d", i, len(batches), u, step.full, step.put, step.del)
		}
		if mismatch := state.apply(t, batches[0]); len(mismatch) > 0 {
			t.Errorf("step %d: digest of %v differs", i, mismatch)
		}
		ackAll(t, s, batches)
	}
}

// collected is what a collector knows of a host: the rows of each section.
type collected map[facts.ID]map[string]string

// apply does what the collector does with an inventory batch, and returns the
// sections that it would ask for again.
func (c collected) apply(t interface {
	Helper()
	Fatal(...any)
}, b *wire.Batch) (mismatch []facts.ID) {
	t.Helper()
	for _, u := range b.Updates {
		if u.Full || c[u.Section] == nil {
			c[u.Section] = map[string]string{}
		}
		for _, key := range u.Removed {
			delete(c[u.Section], key)
		}
		for _, data := range u.Put {
			row, err := wire.DecodeRow(u.Section, data)
			if err != nil {
				t.Fatal(err)
			}
			c[u.Section][row.Key()] = string(data)
		}
		var digest facts.Digest
		for key, data := range c[u.Section] {
			digest = digest.Plus(facts.Item{Key: key, Data: []byte(data)})
		}
		if digest != u.Digest {
			mismatch = append(mismatch, u.Section)
		}
	}
	return mismatch
}

func TestResyncSendsWholeSectionOnce(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, 1, "ann", "bob")}); err != nil {
		t.Fatal(err)
	}
	ackAll(t, s, drain(t, s))
	for range 3 {
		if err := s.Resync([]facts.ID{facts.Users, facts.Packages, 9999}); err != nil {
			t.Fatal(err)
		}
	}
	batches := drain(t, s)
	if len(batches) != 1 || !batches[0].Updates[0].Full || len(batches[0].Updates[0].Put) != 2 {
		t.Fatalf("%d batches: %+v; want one whole section", len(batches), batches)
	}
	ackAll(t, s, batches)
	if err := s.Resync([]facts.ID{facts.Users}); err != nil {
		t.Fatal(err)
	}
	if n := len(drain(t, s)); n != 1 {
		t.Errorf("%d batches after a later resync, want 1", n)
	}
}

// TestResyncOfAFailedReadingSendsNoRows: with rows it would be refused, and all that is in
// the same batch with it. They come with the next reading that tells rows.
func TestResyncOfAFailedReadingSendsNoRows(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	for _, status := range []facts.Status{facts.StatusOK, facts.StatusFailed} {
		if err := s.AppendInventory([]facts.Reading{users(status, 1, "ann", "bob")}); err != nil {
			t.Fatal(err)
		}
	}
	ackAll(t, s, drain(t, s))
	if err := s.Resync([]facts.ID{facts.Users}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct {
		status facts.Status
		full   bool
	}{{facts.StatusFailed, false}, {facts.StatusDenied, false}, {facts.StatusOK, true}, {facts.StatusOK, false}} {
		batches := drain(t, s)
		if u := batches[0].Updates[0]; len(batches) != 1 || u.Status != want.status || u.Full != want.full || len(u.Put) > 0 != want.full {
			t.Fatalf("%d batches, status %s, whole %v, %d rows; want %+v", len(batches), u.Status, u.Full, len(u.Put), want)
		}
		ackAll(t, s, batches)
		next := facts.StatusOK
		if want.status == facts.StatusFailed {
			next = facts.StatusDenied
		}
		if err := s.AppendInventory([]facts.Reading{users(next, 2, "ann", "bob")}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnsendableRowLeavesTheOthers(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, 1, "ann", strings.Repeat("x", wire.MaxKey+1), "bad\xff")})
	if err != nil {
		t.Fatal(err)
	}
	u := drain(t, s)[0].Updates[0]
	if u.Status != facts.StatusPartial || len(u.Put) != 1 || !strings.HasPrefix(u.Reason, "2 rows left out") {
		t.Errorf("status %v, reason %q, %d rows; want partial with one row", u.Status, u.Reason, len(u.Put))
	}
}

func TestLongKeysAreKeptApart(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	long := strings.Repeat("k", maxRowKey)
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, 1, long+"z", long+"a", long, "b")}); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, 2, long+"z", long, "b", "c")}); err != nil {
		t.Fatal(err)
	}
	state := collected{}
	for _, b := range drain(t, s) {
		if m := state.apply(t, b); len(m) > 0 {
			t.Errorf("batch %d: digest differs", b.Seq)
		}
	}
	if len(state[facts.Users]) != 4 {
		t.Errorf("%d rows, want 4", len(state[facts.Users]))
	}
}

func TestHugeSectionTravelsInParts(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	r := facts.Reading{Section: facts.Users, Status: facts.StatusOK, At: 1}
	for i := range 700 {
		r.Rows = append(r.Rows, &facts.UserRow{Name: fmt.Sprintf("u%04d", i), Gecos: strings.Repeat("g", 20_000)})
	}
	if err := s.AppendInventory([]facts.Reading{r}); err != nil {
		t.Fatal(err)
	}
	batches := drain(t, s)
	if len(batches) < 3 {
		t.Errorf("%d batches for 14 MB", len(batches))
	}
	state := collected{}
	for _, b := range batches {
		if m := state.apply(t, b); len(m) > 0 {
			t.Errorf("batch %d: digest differs", b.Seq)
		}
	}
	if len(state[facts.Users]) != len(r.Rows) {
		t.Errorf("%d rows, want %d", len(state[facts.Users]), len(r.Rows))
	}
}

func TestFullSpoolDropsOldestMetricsFirst(t *testing.T) {
	const limit = 512 << 10
	s := open(t, t.TempDir(), Config{MaxBytes: limit})
	now := time.Now().UnixMilli()
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, now, "ann")}); err != nil {
		t.Fatal(err)
	}
	const n = 1000
	for i := range int64(n) {
		if err := s.AppendMetrics([]metric.Frame{frame(s, now+i, 150)}); err != nil {
			t.Fatal(err)
		}
	}
	batches := drain(t, s)
	if batches[0].Kind != wire.KindInventory {
		t.Error("the inventory batch was dropped before metrics")
	}
	kept := batches[1:]
	for i, b := range kept {
		if want := uint64(n + 1 - len(kept) + 1 + i); b.Seq != want {
			t.Fatalf("kept batch %d has number %d, want %d", i, b.Seq, want)
		}
	}
	if st := s.Stats(); st.Bytes > limit || st.FileBytes > limit*3/2+growBytes {
		t.Errorf("%d bytes in a file of %d, limit %d", st.Bytes, st.FileBytes, limit)
	}
	checkLosses(t, s, uint64(n-len(kept)))
}

// checkLosses lets the collector take everything and counts what it is told is lost.
func checkLosses(t *testing.T, s *Spool, want uint64) {
	t.Helper()
	var got uint64
	for range 3 {
		batches := drain(t, s)
		for _, b := range batches {
			for _, l := range b.Losses {
				got += l.Batches
				if l.FromSeq != 0 && l.ToSeq-l.FromSeq+1 != l.Batches {
					t.Errorf("loss %+v is not a range", l)
				}
			}
		}
		ackAll(t, s, batches)
		if err := s.AppendMetrics([]metric.Frame{frame(s, time.Now().UnixMilli(), 1)}); err != nil {
			t.Fatal(err)
		}
		s = reopen(t, s)
	}
	if got != want {
		t.Errorf("%d batches reported lost, want %d", got, want)
	}
	if s.mu.Lock(); len(s.losses) != 0 {
		t.Errorf("losses still on record: %+v", s.losses)
	}
	s.mu.Unlock()
}

func TestDroppedInventoryIsSentWholeAgain(t *testing.T) {
	s := open(t, t.TempDir(), Config{MaxBytes: 8 << 10})
	long := strings.Repeat("g", 900)
	reading := func(at int64) facts.Reading {
		r := facts.Reading{Section: facts.Users, Status: facts.StatusOK, At: facts.Time(at)}
		for i := range 3 {
			r.Rows = append(r.Rows, &facts.UserRow{Name: fmt.Sprint("u", i), UID: at, Gecos: long})
		}
		return r
	}
	now := time.Now().UnixMilli()
	for i := range int64(5) {
		if err := s.AppendInventory([]facts.Reading{reading(now + i)}); err != nil {
			t.Fatal(err)
		}
	}
	state := collected{}
	for _, b := range drain(t, s) {
		state.apply(t, b)
	}
	ackAll(t, s, drain(t, s))
	if err := s.AppendInventory([]facts.Reading{reading(now + 4)}); err != nil {
		t.Fatal(err)
	}
	last := drain(t, s)
	if u := last[0].Updates[0]; !u.Full || len(u.Put) != 3 {
		t.Errorf("after a drop: full %v, %d rows; want the whole section", u.Full, len(u.Put))
	}
	if m := state.apply(t, last[0]); len(m) > 0 {
		t.Error("digest differs after the whole section")
	}
}

func TestOldMetricsGo(t *testing.T) {
	now := time.Now()
	s := open(t, t.TempDir(), Config{MaxAge: time.Hour, Now: func() time.Time { return now }})
	for range 3 {
		if err := s.AppendMetrics([]metric.Frame{frame(s, now.UnixMilli(), 1)}); err != nil {
			t.Fatal(err)
		}
		now = now.Add(40 * time.Minute)
	}
	batches := drain(t, s)
	if len(batches) != 2 || batches[0].Seq != 2 {
		t.Fatalf("%d batches wait, want those of the last hour", len(batches))
	}
	ackAll(t, s, batches)
	if err := s.AppendMetrics([]metric.Frame{frame(s, now.UnixMilli(), 1)}); err != nil {
		t.Fatal(err)
	}
	want := []wire.Loss{{FromSeq: 1, ToSeq: 1, FromAt: batches[0].At - 2400_000, ToAt: batches[0].At - 2400_000, Kind: wire.KindMetrics, Batches: 1, Reason: "too old"}}
	if d := cmp.Diff(want, drain(t, s)[0].Losses); d != "" {
		t.Errorf("losses (-want +got):\n%s", d)
	}
}

// TestInventoryOvertakesMetricsNotFurtherThanTheCollectorRemembers: behind that it comes in
// its order, so that none is skipped.
func TestInventoryOvertakesMetricsNotFurtherThanTheCollectorRemembers(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	epoch, _ := s.Position()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	next := func(after uint64) (seq, behind uint64) {
		t.Helper()
		b, behind, err := s.NextInventory(epoch, after)
		must(err)
		if b == nil {
			return 0, behind
		}
		if b.Kind != wire.KindInventory {
			t.Fatalf("batch %d is none of inventory", b.Seq)
		}
		return b.Seq, behind
	}
	must(s.AppendInventory([]facts.Reading{users(facts.StatusOK, 1, "a")}))
	now := time.Now().UnixMilli()
	must(s.AppendMetrics([]metric.Frame{frame(s, now, 3)}))
	must(s.AppendMetrics([]metric.Frame{frame(s, now+1, 3)}))
	if seq, _ := next(0); seq != 1 {
		t.Errorf("first inventory: batch %d, want 1", seq)
	}
	if seq, behind := next(1); seq != 0 || behind != 3 {
		t.Errorf("behind it: batch %d, look behind %d; want none, 3", seq, behind)
	}
	must(s.Ack(epoch, []uint64{1}))
	after := uint64(3)
	for n := range maxAhead {
		must(s.AppendInventory([]facts.Reading{users(facts.StatusOK, int64(n)+4, fmt.Sprint("u", n))}))
		seq, behind := next(after)
		if seq != after+1 || behind != seq {
			t.Fatalf("inventory %d: batch %d, look behind %d; want %d", n, seq, behind, after+1)
		}
		must(s.Ack(epoch, []uint64{seq}))
		after = seq
	}
	must(s.AppendInventory([]facts.Reading{users(facts.StatusOK, 1000, "last")}))
	if seq, behind := next(after); seq != 0 || behind != after {
		t.Errorf("one too far ahead: batch %d, look behind %d; want none, %d", seq, behind, after)
	}
	must(s.Ack(epoch, []uint64{2}))
	if seq, _ := next(after); seq != 0 {
		t.Errorf("still too far ahead of batch 3: batch %d", seq)
	}
	must(s.Ack(epoch, []uint64{3}))
	if seq, _ := next(after); seq != after+1 {
		t.Errorf("without metrics that wait: batch %d, want %d", seq, after+1)
	}
}

func TestNewEpochRenumbersFromOneAndSendsSectionsWhole(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	now := time.Now().UnixMilli()
	for i := range int64(4) {
		if err := s.AppendMetrics([]metric.Frame{frame(s, now+i, 2)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, now, "ann")}); err != nil {
		t.Fatal(err)
	}
	old, _ := s.Position()
	if err := s.AckUpTo(old, 2); err != nil {
		t.Fatal(err)
	}
	if err := s.NewEpoch(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(old, 0); !errors.Is(err, ErrEpoch) {
		t.Errorf("Next in the old epoch: %v, want ErrEpoch", err)
	}
	s = reopen(t, s)
	batches := drain(t, s)
	epoch, next := s.Position()
	if epoch == old || next != uint64(len(batches)+1) {
		t.Errorf("epoch %x after %x, next %d after %d batches", epoch, old, next, len(batches))
	}
	for i, b := range batches {
		if b.Seq != uint64(i+1) {
			t.Errorf("batch %d has number %d", i, b.Seq)
		}
	}
	if last := batches[len(batches)-1]; len(last.Updates) != 1 || !last.Updates[0].Full {
		t.Errorf("last batch %+v, want the section whole", last)
	}
}

func TestDropCountsAndResends(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, 1, "ann")}); err != nil {
		t.Fatal(err)
	}
	epoch, _ := s.Position()
	if err := s.Drop(epoch, 1, "too large"); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusOK, 2, "ann")}); err != nil {
		t.Fatal(err)
	}
	b := drain(t, s)
	if len(b) != 1 || !b[0].Updates[0].Full || len(b[0].Losses) != 1 || b[0].Losses[0].Reason != "too large" {
		t.Errorf("after a drop: %+v", b)
	}
}

func TestInvalidFrameIsCountedNotRetried(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	f := frame(s, time.Now().UnixMilli(), 3)
	slices.Reverse(f.Samples)
	if err := s.AppendMetrics([]metric.Frame{f}); !errors.Is(err, wire.ErrMalformed) {
		t.Errorf("frame out of order: %v, want ErrMalformed", err)
	}
	if err := s.AppendMetrics([]metric.Frame{frame(s, time.Now().UnixMilli(), 3)}); err != nil {
		t.Errorf("next frame: %v", err)
	}
	if b := drain(t, s); len(b) != 1 || len(b[0].Losses) != 1 {
		t.Errorf("%+v, want one batch that tells of the loss", b)
	}
}

func TestSecondOpenerIsRefusedNamingThePID(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	start := time.Now()
	_, err := Open(s.dir, Config{})
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() {
		t.Errorf("second Open: %v, want InUseError naming process %d", err, os.Getpid())
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("refused after %v", d)
	}
	if !strings.Contains(fmt.Sprint(err), "--state") || strings.Contains(fmt.Sprint(err), "\n") {
		t.Errorf("message %q is not one line that names the next step", err)
	}
}

func TestUnwritableFolderGivesOneLine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{"below_a_file": filepath.Join(path, "state"), "a_file": path}
	if runtime.GOOS == "linux" {
		cases["proc"] = "/proc/atalaya-test"
	}
	for name, state := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Open(state, Config{})
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "--state") {
				t.Errorf("%v: want one line that names the next step", err)
			}
		})
	}
}

func TestStateFolderIsPrivate(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no permission bits; the installer sets the ACL")
	}
	dir := filepath.Join(t.TempDir(), "a", "state")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, Config{})
	for path, want := range map[string]os.FileMode{dir: 0o700, s.Path(): 0o600, filepath.Join(dir, lockName): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
}

func TestDrainedFileShrinksAtOpening(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	now := time.Now().UnixMilli()
	for i := range int64(60) {
		if err := s.AppendMetrics([]metric.Frame{frame(s, now+i, 15_000)}); err != nil {
			t.Fatal(err)
		}
	}
	big := s.Stats().FileBytes
	ackAll(t, s, drain(t, s))
	for range 2 { // the first trims
		s = reopen(t, s)
	}
	if small := s.Stats().FileBytes; big < compactBytes || small > big/4 {
		t.Errorf("file of %d bytes, drained %d", big, small)
	}
	if err := s.AppendMetrics([]metric.Frame{frame(s, now, 10)}); err != nil {
		t.Errorf("append after compaction: %v", err)
	}
}

func BenchmarkAppendFrame(b *testing.B) {
	s := open(b, b.TempDir(), Config{})
	f := frame(s, time.Now().UnixMilli(), 150)
	before := writtenBytes()
	b.ReportAllocs()
	for b.Loop() {
		f.At++
		if err := s.AppendMetrics([]metric.Frame{f}); err != nil {
			b.Fatal(err)
		}
		epoch, next := s.Position()
		if err := s.Ack(epoch, []uint64{next - 1}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(writtenBytes()-before)/float64(b.N), "written-B/op")
	b.ReportMetric(float64(s.Stats().FileBytes), "file-B")
}

// TestRowsOfAKnownRevisionAreNotLookedAt tells by rows that are not those of the revision.
func TestRowsOfAKnownRevisionAreNotLookedAt(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	read := func(revision uint64, names ...string) []*wire.Batch {
		t.Helper()
		r := users(facts.StatusOK, 1, names...)
		r.Revision = revision
		if err := s.AppendInventory([]facts.Reading{r}); err != nil {
			t.Fatal(err)
		}
		batches := drain(t, s)
		ackAll(t, s, batches)
		return batches
	}
	read(1, "a", "b")
	if u := read(1, "other")[0].Updates[0]; len(u.Put) != 0 || u.Full || u.Digest == 0 {
		t.Errorf("same revision: %+v", u)
	}
	if u := read(2, "a", "c")[0].Updates[0]; len(u.Put) != 1 || len(u.Removed) != 1 {
		t.Errorf("next revision: %+v", u)
	}
	if err := s.AppendInventory([]facts.Reading{users(facts.StatusPartial, 1, "d")}); err != nil {
		t.Fatal(err)
	}
	if u := read(2, "a", "c")[1].Updates[0]; len(u.Removed) != 1 {
		t.Errorf("after a reading in between: %+v", u)
	}
	s = reopen(t, s)
	if u := read(2, "a")[0].Updates[0]; len(u.Removed) != 1 {
		t.Errorf("in another process: %+v", u)
	}
}

func BenchmarkUnchangedPackages(b *testing.B) {
	for name, revision := range map[string]uint64{"compared": 0, "same_revision": 1} {
		b.Run(name, func(b *testing.B) { benchmarkUnchanged(b, revision) })
	}
}

func benchmarkUnchanged(b *testing.B, revision uint64) {
	s := open(b, b.TempDir(), Config{})
	r := facts.Reading{Section: facts.Packages, Status: facts.StatusOK, At: 1, Revision: revision}
	for i := range 1556 {
		r.Rows = append(r.Rows, &facts.PackageRow{Name: fmt.Sprintf("package-%04d", i), Version: "1:2.3-4+deb12u1", Arch: "amd64", Source: "dpkg", SizeBytes: int64(i)})
	}
	b.ReportAllocs()
	for b.Loop() {
		r.At++
		if err := s.AppendInventory([]facts.Reading{r}); err != nil {
			b.Fatal(err)
		}
		epoch, next := s.Position()
		if err := s.Ack(epoch, []uint64{next - 1}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInventoryOnTheWire says how many bytes of batches a complete inventory of
// 1,556 packages needs when nothing changed since the last, and how many more when one
// package did.
func BenchmarkInventoryOnTheWire(b *testing.B) {
	s := open(b, b.TempDir(), Config{})
	var readings []facts.Reading
	for _, section := range facts.Sections() {
		readings = append(readings, facts.Reading{Section: section.ID, Status: facts.StatusEmpty})
		if section.ID != facts.Packages {
			continue
		}
		r := &readings[len(readings)-1]
		r.Status = facts.StatusOK
		for i := range 1556 {
			r.Rows = append(r.Rows, &facts.PackageRow{Name: fmt.Sprintf("package-%04d", i), Version: "1:2.3-4+deb12u1", Arch: "amd64", Source: "dpkg", SizeBytes: int64(i)})
		}
	}
	at := facts.Time(0)
	enc := wire.NewMetricEncoder()
	enc.SetVersion(wire.Version)
	report := func() (sent int) {
		at++
		for i := range readings {
			readings[i].At = at
		}
		if err := s.AppendInventory(readings); err != nil {
			b.Fatal(err)
		}
		batches := drain(b, s)
		for _, batch := range batches {
			payload, err := wire.AppendBatch(nil, batch, enc)
			if err != nil {
				b.Fatal(err)
			}
			sent += len(wire.AppendMessage(nil, wire.TypeBatch, payload))
		}
		ackAll(b, s, batches)
		return sent
	}
	first, unchanged, changed := report(), 0, 0
	for b.Loop() {
		unchanged = report()
		for i := range readings {
			if rows := readings[i].Rows; len(rows) > 0 {
				row := *rows[77].(*facts.PackageRow)
				row.Version = fmt.Sprint("1:2.4-", at)
				rows[77] = &row
			}
		}
		changed = report()
	}
	b.ReportMetric(float64(first), "first-B")
	b.ReportMetric(float64(unchanged), "unchanged-B")
	b.ReportMetric(float64(changed-unchanged), "changed-B")
}

// writtenBytes is what this process wrote so far, see proc(5), io; 0 elsewhere.
func writtenBytes() (n int64) {
	data, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "wchar: "); ok {
			fmt.Sscan(rest, &n)
		}
	}
	return n
}

func TestReadingsOfTooManySeriesAreCounted(t *testing.T) {
	s, err := Open(t.TempDir(), Config{Series: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	desc := metric.Desc{Name: "x", Labels: []string{"l"}}
	id, _ := s.Dictionary().ID(&desc, "a")
	if _, ok := s.Dictionary().ID(&desc, "b"); ok {
		t.Fatal("a second series was taken")
	}
	if err := s.AppendMetrics([]metric.Frame{{At: 1, Samples: []metric.Sample{{Series: id, Value: 1}}}}); err != nil {
		t.Fatal(err)
	}
	if got := s.Stats().Refused; got != 1 {
		t.Errorf("%d refused readings, want 1", got)
	}
}

func TestRowsAreThoseLastAppendedAfterReopen(t *testing.T) {
	s := open(t, t.TempDir(), Config{})
	for _, r := range []facts.Reading{users(facts.StatusOK, 1, "a:/bin/sh", "b"), users(facts.StatusOK, 2, "a:/bin/bash", "c")} {
		if err := s.AppendInventory([]facts.Reading{r}); err != nil {
			t.Fatal(err)
		}
	}
	s = reopen(t, s)
	rows, err := s.Rows(facts.Users)
	if want := users(facts.StatusOK, 2, "a:/bin/bash", "c").Rows; err != nil || !reflect.DeepEqual(rows, want) {
		t.Errorf("%v, %v, want %v", rows, err, want)
	}
	if rows, err := s.Rows(facts.Groups); err != nil || len(rows) != 0 {
		t.Errorf("of a section that was never appended: %v, %v", rows, err)
	}
}
