package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// inventoryBackend fits package inventory to Inventory.
type inventoryBackend struct{ Sources }

// scan is how many hosts are read at once where a filter looks at each.
const scan = 500

// Hosts implements Inventory.
func (b inventoryBackend) Hosts(ctx context.Context, q v1.HostQuery) (out v1.HostPage, err error) {
	name := pattern(q.Name)
	if err := name.check(); err != nil {
		return out, err
	}
	last, err := after(q.Cursor)
	if err != nil {
		return out, err
	}
	revoked := b.Authority.RevokedHosts()
	atOnce := scan
	if q.State == "" && q.Verdict == "" && q.Limit > 0 {
		atOnce = q.Limit + 1 // none is left out but by patterns of names
	}
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		var part []inventory.Host
		part, more, err = b.Inventory.Hosts(inventory.HostQuery{Name: name.plain(), Tag: q.Tag, After: last, Limit: atOnce})
		if err != nil {
			return out, classify(err)
		}
		for _, h := range part {
			last = h.ID
			host := b.host(h, revoked)
			if !name.fits(h.Name) || q.State != "" && q.State != host.State || q.Verdict != "" && q.Verdict != host.Patch.Verdict {
				continue
			}
			if len(out.Hosts) == q.Limit {
				out.Next = out.Hosts[len(out.Hosts)-1].ID
				return out, nil
			}
			out.Hosts = append(out.Hosts, host)
		}
	}
	return out, nil
}

// host gives the summary of a host the form of the API.
func (b inventoryBackend) host(h inventory.Host, revoked map[identity.HostID]time.Time) v1.Host {
	out := v1.Host{
		ID: h.ID.String(), Name: h.Name, State: v1.HostSilent, OS: h.OSName, OSID: h.OSID, Arch: h.Arch, Kernel: h.Kernel,
		AgentVersion: h.AgentVersion, EnrolledAt: h.EnrolledAt.UTC(), LastSeen: h.LastSeen.UTC(),
		Machine: strings.TrimSpace(h.Manufacturer + " " + h.Product), CPUs: h.Threads, MemoryBytes: h.MemoryBytes,
		Addresses: h.Addresses, Tags: h.Tags, Patch: verdict(h.Patch),
		ClockOffsetSeconds: h.ClockOffset.Seconds(), LostBatches: h.LossBatches,
	}
	if !h.LastSeen.IsZero() && b.Now().Sub(h.LastSeen) <= b.SilentAfter {
		out.State = v1.HostOnline
	}
	if _, ok := revoked[h.ID]; ok {
		out.State = v1.HostRevoked
	}
	for _, s := range h.Sections {
		if s.ID == facts.Packages && !s.KnownAt.IsZero() {
			out.Packages = &h.Packages
		}
	}
	return out
}

func verdict(p inventory.Patch) v1.Verdict {
	return v1.Verdict{
		Verdict: p.Verdict, Reason: p.Reason, IndexTime: p.IndexTime.UTC(),
		Pending: p.Pending, Security: p.Security, RebootRequired: p.RebootRequired,
	}
}

// Host implements Inventory.
func (b inventoryBackend) Host(ctx context.Context, host string, rows bool, sections []string) (out v1.HostDetail, err error) {
	h, err := b.Inventory.Host(host)
	if err != nil {
		return out, classify(err)
	}
	out.Host, out.Sections = b.host(h, b.Authority.RevokedHosts()), map[string]v1.Section{}
	for _, s := range h.Sections {
		if len(sections) > 0 && !slices.Contains(sections, s.Name) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		section := v1.Section{
			Status: s.Status.String(), Reason: s.Reason, ObservedAt: s.ObservedAt.UTC(), KnownAt: s.KnownAt.UTC(), RowCount: s.Rows,
		}
		if rows {
			if section.Rows, err = b.rows(h.ID, s.Name); err != nil {
				return out, err
			}
		}
		out.Sections[s.Name] = section
	}
	if out.Removed, err = b.removal(h.ID); err != nil {
		return out, err
	}
	out.Identity, err = b.lastEvents(h.ID)
	return out, err
}

// removal says when and why a host left the fleet; nil for one that belongs to it.
func (b inventoryBackend) removal(id identity.HostID) (out *v1.RemovedHost, err error) {
	err = b.Store.View(func(tx *store.Tx) error {
		h, ok, err := tx.Host(id)
		if ok && !h.RemovedAt.IsZero() {
			gone := removedHost(h)
			out = &gone
		}
		return err
	})
	return out, classify(err)
}

func (b inventoryBackend) rows(id identity.HostID, section string) ([]json.RawMessage, error) {
	s, err := b.Inventory.Section(id.String(), section)
	if err != nil {
		return nil, classify(err)
	}
	out := make([]json.RawMessage, len(s.Rows))
	for i, row := range s.Rows {
		if out[i], err = json.Marshal(row); err != nil {
			return nil, fmt.Errorf("row %q of section %s: %w", row.Key(), section, err)
		}
	}
	return out, nil
}

// History implements Inventory.
func (b inventoryBackend) History(_ context.Context, host string, q v1.HistoryQuery) (out v1.History, err error) {
	ref, err := b.Inventory.Lookup(host)
	if err != nil {
		return out, classify(err)
	}
	page, err := b.Inventory.History(ref.ID.String(), inventory.HistoryQuery{
		Section: q.Section, From: q.From, To: q.To, Cursor: q.Cursor, Limit: q.Limit, Details: q.Details,
	})
	if err != nil {
		return out, classify(err)
	}
	return v1.History{HostID: ref.ID.String(), Host: ref.Name, Changes: changes(page.Events), Next: page.Next, KeptFrom: page.Kept.UTC()}, nil
}

func changes(events []inventory.Event) []v1.Change {
	out := make([]v1.Change, len(events))
	for i, e := range events {
		out[i] = v1.Change{
			Seq: e.Seq, At: e.At.UTC(), ObservedAt: e.Observed.UTC(), ReceivedAt: e.Received.UTC(), Section: e.Section, Kind: e.Kind, Item: e.Item, Text: e.Text,
		}
		for _, c := range e.Columns {
			out[i].Columns = append(out[i].Columns, v1.ColumnChange(c))
		}
	}
	return out
}

// Diff implements Inventory.
func (b inventoryBackend) Diff(_ context.Context, host string, q v1.DiffQuery) (out v1.Diff, err error) {
	d, err := b.Inventory.Diff(host, inventory.DiffQuery{From: q.From, To: q.To, Section: q.Section, Details: q.Details})
	if err != nil {
		return out, classify(err)
	}
	return v1.Diff{HostID: d.Host.ID.String(), Host: d.Host.Name, Changes: changes(d.Items)}, nil
}

// Packages implements Inventory.
func (b inventoryBackend) Packages(_ context.Context, q v1.PackageQuery) (out v1.PackagePage, err error) {
	start, err := offset(q.Cursor)
	if err != nil {
		return out, err
	}
	query := inventory.PackageQuery{Name: q.Name, Below: q.Below, Above: q.Above, At: q.AsOf, Offset: start, Limit: q.Limit}
	if q.Version != "" { // the view has no such filter: take all, then cut
		query.Offset, query.Limit = 0, 0
	}
	found, err := b.Inventory.FindPackage(query)
	if err != nil {
		return out, classify(err)
	}
	out.Total, out.Uncomparable = found.Total, found.Uncomparable
	if q.Version != "" {
		matches := slices.DeleteFunc(found.Matches, func(m inventory.PackageMatch) bool { return m.Version != q.Version })
		out.Total = len(matches)
		if found.Matches, out.Next, err = cut(matches, q.Page); err != nil {
			return out, err
		}
	} else if start+len(found.Matches) < found.Total {
		out.Next = strconv.Itoa(start + len(found.Matches))
	}
	out.Packages = make([]v1.HostPackage, len(found.Matches))
	for i, m := range found.Matches {
		out.Packages[i] = v1.HostPackage{
			HostID: m.Host.ID.String(), Host: m.Host.Name, Name: m.Name, Version: m.Version, Arch: m.Arch, Source: m.Source, KnownAt: m.KnownAt.UTC(),
		}
	}
	return out, nil
}

// Patches implements Inventory.
func (b inventoryBackend) Patches(_ context.Context, q v1.PatchQuery) (out v1.PatchPage, err error) {
	if q.Host != "" {
		return b.patchesOf(q)
	}
	last, err := after(q.Cursor)
	if err != nil {
		return out, err
	}
	hosts, more, err := b.Inventory.Patches(inventory.PatchQuery{Verdict: q.Verdict, After: last, Limit: q.Limit})
	if err != nil {
		return out, classify(err)
	}
	for _, h := range hosts {
		out.Hosts = append(out.Hosts, patchStatus(h.Host, h.Patch))
	}
	if more {
		out.Next = hosts[len(hosts)-1].Host.ID.String()
	}
	return out, nil
}

func patchStatus(host inventory.HostRef, p inventory.Patch) v1.PatchStatus {
	return v1.PatchStatus{HostID: host.ID.String(), Host: host.Name, Verdict: verdict(p), RebootReasons: p.RebootReasons}
}

// patchesOf answers for one host, with its updates.
func (b inventoryBackend) patchesOf(q v1.PatchQuery) (out v1.PatchPage, err error) {
	h, err := b.Inventory.Host(q.Host)
	if err != nil {
		return out, classify(err)
	}
	status := patchStatus(inventory.HostRef{ID: h.ID, Name: h.Name}, h.Patch)
	if q.Verdict != "" && q.Verdict != status.Verdict.Verdict {
		return out, nil
	}
	s, err := b.Inventory.Section(h.ID.String(), facts.Patches.String())
	if err != nil {
		return out, classify(err)
	}
	held := 0
	for _, row := range s.Rows {
		p, ok := row.(*facts.PatchRow)
		if !ok {
			return out, fmt.Errorf("section %s holds a %T", s.Name, row)
		}
		if p.State == "held" {
			held++
		}
		status.Updates = append(status.Updates, v1.Update{
			Name: p.Name, Arch: p.Arch, Installed: p.Installed, Candidate: p.Candidate, Origin: p.Origin,
			Security: p.Security, State: p.State, Source: p.Source, Reason: p.Reason,
		})
	}
	if !s.KnownAt.IsZero() {
		status.Held = &held
	}
	out.Hosts = []v1.PatchStatus{status}
	return out, nil
}
