package inventory

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"atalaya/shared/facts"

	"github.com/google/go-cmp/cmp"
)

func TestWhatChangedNamesTheRareAndWeightyFirst(t *testing.T) {
	f := newFleet(t)
	service := func(state string) *facts.ServiceRow {
		return &facts.ServiceRow{Name: "nginx", State: state, Manager: "systemd"}
	}
	var ids [][8]byte
	for n := byte(1); n <= 4; n++ {
		id := f.Host(n, fmt.Sprintf("web%d", n))
		ids = append(ids, id)
		f.Report(id, facts.Packages, deb("openssl", "1"), deb("zsh", "1"), deb("bash", "1"))
		f.Report(id, facts.Services, service("running"))
		f.Report(id, facts.PatchState, &facts.PatchStateRow{Verdict: "pending", Pending: 1})
	}
	from := f.Now
	f.Now = f.Now.Add(time.Minute)
	for i, id := range ids {
		bash := deb("bash", "2") // everywhere
		bash.InstalledAt = facts.TimeOf(f.Now)
		rows := []facts.Row{deb("openssl", "1"), deb("zsh", "1"), bash}
		if i == 2 {
			rows[0] = deb("openssl", "2") // only there
		}
		f.Report(id, facts.Packages, rows...)
		f.Report(id, facts.PatchState, &facts.PatchStateRow{Verdict: "current"})
	}
	for _, state := range []string{"failed", "running", "failed", "running"} { // flaps, and is as it was
		f.Report(ids[2], facts.Services, service(state))
	}
	for _, state := range []string{"failed", "running", "stopped"} { // flaps, and ends otherwise
		f.Report(ids[1], facts.Services, service(state))
	}
	ask := func(q ChangedQuery) (got []string) {
		t.Helper()
		q.From = from
		list, err := f.view.WhatChanged(q)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			got = append(got, fmt.Sprintf("%s %s: %s, %d hosts, %d of the fleet, %d times", c.Section, c.Item, c.Text, c.Count, c.Fleet, c.Times))
		}
		return got
	}
	want := []string{
		"packages dpkg openssl amd64: version 1 -> 2, 1 hosts, 1 of the fleet, 1 times",
		"packages dpkg bash amd64: version 1 -> 2, 4 hosts, 4 of the fleet, 1 times",
		"services systemd nginx: state running -> stopped, 1 hosts, 1 of the fleet, 3 times",
	}
	got := ask(ChangedQuery{})
	if d := cmp.Diff(want, got[:min(len(got), 3)]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if len(got) != 4 || !strings.HasPrefix(got[3], "patch_state") {
		t.Errorf("got %q, want the patch verdict last", got)
	}
	f.view.changedRows = 3 // of more than that half of the hosts is looked at after the other
	if d := cmp.Diff(got, ask(ChangedQuery{})); d != "" {
		t.Errorf("in pieces (-at once +in pieces):\n%s", d)
	}
	if got := ask(ChangedQuery{Hosts: []string{"web3"}, Limit: 1}); len(got) != 1 || !strings.Contains(got[0], "openssl") {
		t.Errorf("on web3: %q", got)
	}
	if _, err := f.view.WhatChanged(ChangedQuery{Tag: "nosuchtag", From: from}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a tag that no host has: %v", err)
	}
	if _, err := f.view.WhatChanged(ChangedQuery{Hosts: []string{"db"}, From: from}); !errors.Is(err, ErrNotFound) {
		t.Errorf("db: got %v", err)
	}
}
