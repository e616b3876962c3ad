package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

func TestColumnsAlignAsATerminalShowsThem(t *testing.T) {
	var out strings.Builder
	w := newAligned(&out)
	fmt.Fprint(w, "heading\na\tb\tc\n山田太郎\te\u0301\tc\n\nx\ty\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if want := "heading\na         b  c\n山田太郎  e\u0301  c\n\nx  y\n"; out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	for in, want := range map[string]string{"山田太郎": "山...", "abcde": "abcde", "abcdef": "ab..."} {
		if got := cut(in, 5); got != want {
			t.Errorf("%s is cut to %s, want %s", in, got, want)
		}
	}
}

func TestStatusNamesWhatIsWrongFirst(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := facts.TimeOf(now.Add(-3 * time.Minute))
	st := agent.Status{Now: now, Costs: []probe.Cost{
		{Probe: "cpu", Status: facts.StatusOK}, {Probe: "zfs", Status: facts.StatusUnsupported, Reason: "no such thing"},
		{Probe: "packages", Status: facts.StatusPartial, Reason: "dpkg: cut off", LastRun: at}, {Probe: "tape", Status: facts.StatusUnsupported},
		{Probe: "storage", Status: facts.StatusFailed, Reason: "no answer\x1b", LastRun: at}, {Probe: "names", Status: facts.StatusEmpty}, {Probe: "new"},
	}}
	var out strings.Builder
	w := newAligned(&out)
	writeProbes(w, st)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	want := "probes      2 work, 1 failed, 1 partial, 1 not run yet; 2 have nothing to read on this machine\n" +
		"  storage   failed, 3 min ago: no answer?\n  packages  partial, 3 min ago: dpkg: cut off\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
