package cli

import (
	"testing"
	"time"

	"atalaya/collector/api/v1"
)

func TestStateSaysWhenAndWhyAHostLeft(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	doc := v1.HostDetail{Now: now, Host: v1.Host{ID: "01", State: v1.HostOnline, LastSeen: now.Add(-time.Minute)}}
	if got, want := stateCell(doc).text, "online, seen 60 s ago"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	doc.Removed = &v1.RemovedHost{RemovedAt: now.Add(-3 * time.Minute), Reason: "sold"}
	if got, want := stateCell(doc).text, "removed 3 min ago: sold"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if none := hostView(doc).blocks[0].none; none != "its past: atalaya host history 01" {
		t.Errorf("without sections: %q", none)
	}
}
