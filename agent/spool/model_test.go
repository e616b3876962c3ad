package spool

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// model is a spool as plain memory, together with a collector that takes what the
// spool gives out.
type model struct {
	dir    string
	s      *Spool
	clock  int64
	sent   map[int64]bool // times of frames that were appended
	taken  map[int64]bool // times of frames that the collector took
	lost   uint64         // batches that it was told are lost
	latest map[string]string
	seen   collected
	done   map[[2]uint64]bool // batches the collector took, by epoch and number
	resync []facts.ID
}

// TestSpoolAgreesWithAModel runs random operations on a spool and on the model: at the
// end each frame was either taken or told of as lost, and the collector's rows are
// those of the last reading.
func TestSpoolAgreesWithAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool-model-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		m := &model{dir: dir, clock: time.Now().UnixMilli(), sent: map[int64]bool{}, taken: map[int64]bool{}, seen: collected{}, done: map[[2]uint64]bool{}}
		m.open(t)
		defer func() { m.s.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"metrics": m.metrics, "inventory": m.inventory, "failedInventory": m.failedInventory, "take": m.take,
			"takeUpTo": m.takeUpTo, "lostAck": m.lostAck, "reopen": m.reopen, "newEpoch": m.newEpoch, "resync": m.askAgain, "": m.check,
		})
		m.settle(t)
	})
}

func (m *model) open(t *rapid.T) {
	s, err := Open(m.dir, Config{MaxBytes: 24 << 10})
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
}

func (m *model) reopen(t *rapid.T) {
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

func (m *model) metrics(t *rapid.T) {
	var frames []metric.Frame
	for range rapid.IntRange(1, 4).Draw(t, "frames") {
		m.clock++
		frames = append(frames, frame(m.s, m.clock, rapid.IntRange(1, 120).Draw(t, "samples")))
	}
	// One batch per frame, so that losses count frames.
	for _, f := range frames {
		m.sent[f.At] = true
		if err := m.s.AppendMetrics([]metric.Frame{f}); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *model) inventory(t *rapid.T) {
	m.clock++
	status := rapid.SampledFrom([]facts.Status{facts.StatusOK, facts.StatusOK, facts.StatusPartial}).Draw(t, "status")
	r := facts.Reading{Section: facts.Users, Status: status, At: facts.Time(m.clock)}
	if m.latest == nil || status == facts.StatusOK {
		m.latest = map[string]string{}
	}
	if status == facts.StatusPartial && rapid.Bool().Draw(t, "parts") {
		r = hidden(r, "u1")
		maps.DeleteFunc(m.latest, func(name, _ string) bool { return name != "u1" })
	}
	for i := range rapid.IntRange(0, 12).Draw(t, "rows") {
		row := &facts.UserRow{Name: fmt.Sprint("u", i), UID: int64(rapid.IntRange(0, 2).Draw(t, "uid"))}
		r.Rows = append(r.Rows, row)
		data, err := wire.EncodeRow(row)
		if err != nil {
			t.Fatal(err)
		}
		m.latest[row.Name] = string(data)
	}
	r.Rows = facts.Sort(r.Rows)
	if err := m.s.AppendInventory([]facts.Reading{r}); err != nil {
		t.Fatal(err)
	}
}

func (m *model) failedInventory(t *rapid.T) {
	m.clock++
	r := facts.Reading{Section: facts.Users, Status: facts.StatusFailed, Reason: "test", At: facts.Time(m.clock)}
	if err := m.s.AppendInventory([]facts.Reading{r}); err != nil {
		t.Fatal(err)
	}
}

// receive is the collector taking a batch, once.
func (m *model) receive(t *rapid.T, b *wire.Batch) {
	if !b.Verify() {
		t.Fatalf("batch %d does not verify", b.Seq)
	}
	name := [2]uint64{b.Epoch, b.Seq}
	if m.done[name] {
		return
	}
	m.done[name] = true
	for _, f := range b.Frames {
		if !m.sent[f.At] {
			t.Fatalf("frame %d was never appended", f.At)
		}
		m.taken[f.At] = true
	}
	for _, l := range b.Losses {
		if l.Kind == wire.KindMetrics {
			m.lost += l.Batches
		}
	}
	m.resync = append(m.resync, m.seen.apply(t, b)...)
}

func (m *model) waiting(t *rapid.T) []*wire.Batch {
	epoch, _ := m.s.Position()
	var out []*wire.Batch
	for after := uint64(0); ; {
		b, err := m.s.Next(epoch, after)
		if err != nil {
			t.Fatal(err)
		}
		if b == nil {
			return out
		}
		after, out = b.Seq, append(out, b)
	}
}

// take lets the collector take the first few batches and acknowledge them.
func (m *model) take(t *rapid.T) {
	batches := m.waiting(t)
	n := min(len(batches), rapid.IntRange(0, 30).Draw(t, "n"))
	for _, b := range batches[:n] {
		m.receive(t, b)
		if err := m.s.Ack(b.Epoch, []uint64{b.Seq}); err != nil {
			t.Fatal(err)
		}
	}
	m.answer(t)
}

// answer sends what the collector asks for again.
func (m *model) answer(t *rapid.T) {
	ids := m.resync
	m.resync = nil
	if err := m.s.Resync(ids); err != nil {
		t.Fatal(err)
	}
}

func (m *model) takeUpTo(t *rapid.T) {
	batches := m.waiting(t)
	if len(batches) == 0 {
		return
	}
	n := rapid.IntRange(1, len(batches)).Draw(t, "n")
	for _, b := range batches[:n] {
		m.receive(t, b)
	}
	if err := m.s.AckUpTo(batches[0].Epoch, batches[n-1].Seq); err != nil {
		t.Fatal(err)
	}
}

// lostAck lets the collector take batches whose acknowledgement never arrives.
func (m *model) lostAck(t *rapid.T) {
	for _, b := range m.waiting(t) {
		m.receive(t, b)
	}
}

// newEpoch happens when the collector sees that the spool was set back; then nothing
// of what waits has been taken.
func (m *model) newEpoch(t *rapid.T) {
	for _, b := range m.waiting(t) {
		if m.done[[2]uint64{b.Epoch, b.Seq}] {
			return
		}
	}
	if err := m.s.NewEpoch(); err != nil {
		t.Fatal(err)
	}
}

func (m *model) askAgain(t *rapid.T) {
	if err := m.s.Resync([]facts.ID{facts.Users}); err != nil {
		t.Fatal(err)
	}
}

// check: the spool is within its limit and nothing waits that was not appended.
func (m *model) check(t *rapid.T) {
	if st := m.s.Stats(); st.Bytes > 24<<10 {
		t.Fatalf("%d bytes wait, limit %d", st.Bytes, 24<<10)
	}
}

// settle delivers everything and compares.
func (m *model) settle(t *rapid.T) {
	for range 8 {
		m.metrics(t)
		m.take(t)
		for _, b := range m.waiting(t) {
			m.receive(t, b)
			m.s.Ack(b.Epoch, []uint64{b.Seq})
		}
		m.answer(t)
	}
	m.failedInventory(t)
	for _, b := range m.waiting(t) {
		m.receive(t, b)
		m.s.Ack(b.Epoch, []uint64{b.Seq})
	}
	m.answer(t)
	for _, b := range m.waiting(t) {
		m.receive(t, b)
	}
	missing := uint64(0)
	for at := range m.sent {
		if !m.taken[at] {
			missing++
		}
	}
	// A batch whose acknowledgement was lost may be dropped afterwards: then it is
	// both taken and told of as lost. Never the other way round.
	if m.lost < missing {
		t.Fatalf("%d frames are missing, %d told of as lost", missing, m.lost)
	}
	if m.latest == nil {
		return
	}
	if got := m.seen[facts.Users]; !equalRows(got, m.latest) {
		t.Fatalf("collector has rows %v, want %v", keys(got), keys(m.latest))
	}
}

func equalRows(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

func keys(m map[string]string) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
