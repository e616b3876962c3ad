package cli

import (
	"strings"
	"testing"
	"time"

	"atalaya/collector/api/v1"
)

// TestAdviceIsOfTheMomentAsked: a time given to the second would be that second's end.
func TestAdviceIsOfTheMomentAsked(t *testing.T) {
	at := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	_, rest, _ := strings.Cut(unknownLine(v1.SQLUnknown{Section: "packages"}, at), "hosts('")
	text, _, _ := strings.Cut(rest, "'")
	if got, err := v1.ParseState(text, at.Add(time.Hour)); err != nil || !got.Equal(at) {
		t.Errorf("%q is %v, %v; want %v", text, got, err, at)
	}
}
