package api_test

import (
	"context"
	"testing"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// TestAHostThatLeavesIsCountedNoMore: removed or merged, its series end at once; brought back
// they go on with its next samples.
func TestAHostThatLeavesIsCountedNoMore(t *testing.T) {
	w, ctx := newWhole(t), context.Background()
	web, db := w.host(1, "web1"), w.host(2, "db1")
	speak := func(hosts ...identity.HostID) {
		t.Helper()
		w.fleet.Now = w.fleet.Now.Add(15 * time.Second)
		a := w.parts.Series.Begin(ctx)
		for _, id := range hosts {
			a.AppendOwn(w.fleet.Now.UnixMilli(), "up", []metric.Label{{Name: "host", Value: map[identity.HostID]string{web: "web1", db: "db1"}[id]}, {Name: "host_id", Value: id.String()}}, 1)
		}
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	up := func(when string, want float64) {
		t.Helper()
		w.fleet.Now = w.fleet.Now.Add(time.Second)
		v, err := w.parts.Series.Instant(ctx, "sum(up)", w.fleet.Now)
		if err != nil || len(v) != 1 || v[0].Value != want {
			t.Errorf("%s: sum(up) is %v, %v, want %v", when, v, err, want)
		}
	}
	speak(web, db)
	up("both", 2)
	must[v1.RemovedHost](t)(w.RemoveHost(ctx, "web1", "sold"))
	up("removed", 1)
	must[v1.Revival](t)(w.ReviveHost(ctx, "web1"))
	up("revived, still silent", 1)
	speak(web, db)
	up("revived", 2)
	w.fleet.Now = w.fleet.Now.Add(time.Hour) // two machines that live are not one
	speak(web, db)
	must[v1.MergeResult](t)(w.MergeHosts(ctx, "web1", v1.MergeRequest{Other: "db1", Apply: true}))
	up("merged", 1)
	speak(web)
	up("merged, the one goes on", 1)
	must[v1.MergeResult](t)(w.UnmergeHost(ctx, "web1", v1.UnmergeRequest{Apply: true}))
	speak(web, db)
	up("two again", 2)
}
