package collector

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"atalaya/collector/enroll"
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// watched is a collector with a store and metrics alone, and its clock.
func watched(t *testing.T, now *time.Time) *collector {
	t.Helper()
	clock := func() time.Time { return *now }
	dir := t.TempDir()
	st, err := store.Open(store.Config{Path: filepath.Join(dir, store.FileName), NoSync: true, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	db, err := series.Open(series.Config{Dir: filepath.Join(dir, "metrics"), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ca, err := enroll.OpenAuthority(t.Context(), enroll.Config{Dir: dir, Store: st, Address: "127.0.0.1:7443", Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	return &collector{cfg: DefaultConfig(), started: now.Add(-time.Hour), store: st, series: db, authority: ca}
}

func TestASilentHostHasNoSeriesButUp(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	c := watched(t, &now)
	st, db := c.store, c.series
	id := identity.HostID{1}
	if err := st.Update(func(tx *store.Tx) error { return tx.PutHost(store.Host{ID: id, Name: "web1"}) }); err != nil {
		t.Fatal(err)
	}
	w := newWatch()
	// tick lets a quarter of a minute pass; want is up and the losses.
	tick := func(seen bool, want string) {
		t.Helper()
		now = now.Add(upInterval)
		if seen {
			st.Seen(id, now)
		}
		if err := c.recordHosts(t.Context(), now, w); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, name := range []string{"up", "atalaya_agent_lost_batches_total", "atalaya_agent_clock_offset_seconds"} {
			v, err := db.Instant(t.Context(), fmt.Sprintf(`%s{host="web1"} and (time() - timestamp(%[1]s) < 1)`, name), now)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range v {
				got += fmt.Sprint(s.Value, " ")
			}
		}
		if got != want {
			t.Errorf("at %s: %q, want %q", now.Format(time.TimeOnly), got, want)
		}
	}
	tick(true, "1 0 0 ")
	now = now.Add(c.cfg.SilentAfter)
	tick(false, "0 ")
	tick(false, "0 ")
	// It is back and says at once that it had to drop 7 batches: an increase.
	b := wire.Batch{Epoch: 1, Seq: 8, Kind: wire.KindMetrics, Checksum: 1, Losses: []wire.Loss{{FromSeq: 1, ToSeq: 7, Kind: wire.KindMetrics, Batches: 7}}}
	if out, err := st.Apply([]store.Delivery{{Host: id, Batch: b, Received: now}}); err != nil || out[0].Err != nil {
		t.Fatal(out, err)
	}
	tick(true, "1 0 0 ")
	tick(true, "1 7 0 ")
	tick(true, "1 7 0 ")
}

// TestSeriesOfHostsThatLeftEndWhateverCameLate, and those of a name that a host had before.
func TestSeriesOfHostsThatLeftEndWhateverCameLate(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	c := watched(t, &now)
	w := newWatch()
	do := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := c.store.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	tick := func(want float64) {
		t.Helper()
		now = now.Add(upInterval)
		if err := c.recordHosts(t.Context(), now, w); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Second)
		v, err := c.series.Instant(t.Context(), "count(up)", now)
		if err != nil || len(v) != 1 || v[0].Value != want {
			t.Errorf("hosts with a series: %v, %v, want %v", v, err, want)
		}
	}
	a, b := store.Host{ID: identity.HostID{1}, Name: "a"}, store.Host{ID: identity.HostID{2}, Name: "b"}
	do(func(tx *store.Tx) error { return errors.Join(tx.PutHost(a), tx.PutHost(b)) })
	tick(2)
	a.Name = "web1"
	do(func(tx *store.Tx) error { return tx.PutHost(a) })
	tick(2)
	do(func(tx *store.Tx) error { return tx.RemoveHost(b.ID, now, "sold") })
	tick(1)
	late := c.series.Begin(t.Context())
	late.AppendOwn(now.UnixMilli(), "up", []metric.Label{{Name: "host", Value: "b"}, {Name: "host_id", Value: b.ID.String()}}, 1)
	if err := late.Commit(); err != nil {
		t.Fatal(err)
	}
	tick(1)
	tick(1)
	tick(1)
	tick(1)
	if len(w.left) > 0 {
		t.Errorf("still looked at: %v", w.left)
	}
	do(func(tx *store.Tx) error { return tx.ReviveHost(b.ID, now) })
	tick(2)
	do(func(tx *store.Tx) error { return tx.RemoveHost(b.ID, now, "sold") })
	w = newWatch() // the collector was ended before it saw that
	tick(1)
}
