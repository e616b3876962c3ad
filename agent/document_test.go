package agent

import (
	"testing"
	"time"

	"atalaya/shared/facts"
)

func TestAnIndexDatedAheadHasNoAge(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for ahead, want := range map[time.Duration]bool{-time.Hour: true, 0: true, time.Hour: false} {
		row := &facts.PatchStateRow{Verdict: facts.VerdictUnknown, Reason: "dated ahead", IndexTime: facts.TimeOf(now.Add(ahead))}
		v := newPatchVerdict(row, now)
		if (v.IndexAgeSeconds != nil) != want || v.VerdictReason != row.Reason || v.IndexTime != row.IndexTime {
			t.Errorf("%s ahead: %+v", ahead, v)
		}
	}
}
