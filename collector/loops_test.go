package collector

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"atalaya/collector/enroll"
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

func TestASilentHostHasNoSeriesButUp(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Second)
	clock := func() time.Time { return now }
	dir := t.TempDir()
	st, err := store.Open(store.Config{Path: filepath.Join(dir, store.FileName), NoSync: true, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	db, err := series.Open(series.Config{Dir: filepath.Join(dir, "metrics"), Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	ca, err := enroll.OpenAuthority(t.Context(), enroll.Config{Dir: dir, Store: st, Address: "127.0.0.1:7443", Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	id := identity.HostID{1}
	if err := st.Update(func(tx *store.Tx) error { return tx.PutHost(store.Host{ID: id, Name: "web1"}) }); err != nil {
		t.Fatal(err)
	}
	c := &collector{cfg: DefaultConfig(), started: now.Add(-time.Hour), store: st, series: db, authority: ca}
	lost := map[identity.HostID]uint64{}
	// tick lets a quarter of a minute pass; want is up and the losses.
	tick := func(seen bool, want string) {
		t.Helper()
		now = now.Add(upInterval)
		if seen {
			st.Seen(id, now)
		}
		if err := c.recordHosts(t.Context(), now, lost); err != nil {
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
