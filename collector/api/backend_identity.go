package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/asset"
	"atalaya/collector/enroll"
	"atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/inventory"
	"atalaya/collector/store"
	hostid "atalaya/shared/identity"
)

// anyHost finds an active host, else a removed one.
func anyHost(tx *store.Tx, ref string) (store.Host, error) {
	h, err := inventory.FindHost(tx, ref)
	if !errors.Is(err, inventory.ErrNotFound) {
		return h, err
	}
	if gone, err := findRemoved(tx, ref); !errors.Is(err, ErrNotFound) {
		return gone, err
	}
	return h, err
}

func (b operationsBackend) connected(id hostid.HostID) bool {
	return b.Connected != nil && b.Connected(id)
}

// Identity implements Identities.
func (b operationsBackend) Identity(_ context.Context, host string) (out v1.Identity, err error) {
	err = b.Store.View(func(tx *store.Tx) error {
		h, err := anyHost(tx, host)
		if err != nil {
			return err
		}
		r, err := ledger.Record(tx, h.ID)
		if err != nil {
			return err
		}
		merges, err := ledger.Merges(tx, h.ID)
		if err != nil {
			return err
		}
		out = v1.Identity{HostID: h.ID.String(), Host: h.Name, Facts: factLines(ledger.Weigh(tx, r.Facts)), Events: events(r.Events)}
		for _, a := range r.Addresses {
			out.Addresses = append(out.Addresses, v1.IdentityAddress{Address: a.Address, First: a.First.UTC()})
		}
		for _, c := range slices.Backward(r.Refused) {
			out.Copies = append(out.Copies, v1.IdentityCopy{First: c.At.UTC(), Last: c.Last.UTC(), Kind: string(c.Kind), Hostname: c.Hostname, Address: c.Address, Times: c.Times})
		}
		for _, m := range slices.Backward(merges) {
			out.Merges = append(out.Merges, mergeOf(m))
		}
		return nil
	})
	return out, classify(err)
}

// events are the events of a host, newest first.
func events(all []identity.Event) (out []v1.IdentityEvent) {
	for _, e := range slices.Backward(all) {
		out = append(out, v1.IdentityEvent{At: e.At.UTC(), Kind: string(e.Kind), Text: e.Text, By: e.By, Facts: factLines(e.Lines), Merge: e.Merge, Times: e.Times, Last: e.Last.UTC()})
	}
	return out
}

func factLines(in []identity.Line) (out []v1.IdentityFact) {
	for _, l := range in {
		out = append(out, v1.IdentityFact{Fact: l.Fact, Known: l.Known, Now: l.Now, Agreement: string(l.Agreement), Weight: l.Weight, Why: l.Why})
	}
	return out
}

func mergeOf(m ledger.Merge) v1.IdentityMerge {
	return v1.IdentityMerge{Number: m.Number, At: m.At.UTC(), Kind: string(m.Kind), By: m.By, Keep: m.Keep.String(), Other: m.Other.String(), Name: m.Name, Undone: m.Undone.UTC()}
}

func comparison(h, other store.Host, v identity.Verdict) v1.IdentityComparison {
	return v1.IdentityComparison{
		HostID: h.ID.String(), Host: h.Name, OtherID: other.ID.String(), Other: other.Name,
		Same: !v.Refuse, For: v.For, Against: v.Against, Text: v.Text, Facts: factLines(v.Lines),
	}
}

// CompareIdentity implements Identities.
func (b operationsBackend) CompareIdentity(_ context.Context, host, other string) (out v1.IdentityComparison, err error) {
	err = b.Store.View(func(tx *store.Tx) error {
		x, y, err := twoHosts(tx, host, other)
		if err != nil {
			return err
		}
		if x.ID == y.ID {
			return fmt.Errorf("%w: %q and %q are the same host, %s", ErrInvalid, host, other, x.ID)
		}
		v, err := ledger.Compare(tx, x.ID, y.ID)
		out = comparison(x, y, v)
		return err
	})
	return out, classify(err)
}

func twoHosts(tx *store.Tx, host, other string) (x, y store.Host, err error) {
	if x, err = anyHost(tx, host); err == nil {
		y, err = anyHost(tx, other)
	}
	return x, y, err
}

// MergeHosts implements Identities.
func (b operationsBackend) MergeHosts(ctx context.Context, keep string, r v1.MergeRequest, by string) (out v1.MergeResult, err error) {
	var p ledger.Proposal
	propose := func(tx *store.Tx) error {
		x, y, err := twoHosts(tx, keep, r.Other)
		if err != nil {
			return err
		}
		if p, err = ledger.Propose(tx, x, y, ledger.Alive{Connected: b.connected, Now: b.Now(), Within: b.SilentAfter}); err != nil {
			return err
		}
		out = v1.MergeResult{
			Merge:      v1.IdentityMerge{At: b.Now().UTC(), Kind: string(identity.Merged), By: by, Keep: x.ID.String(), Other: y.ID.String(), Name: y.Name},
			Comparison: comparison(x, y, p.Verdict), FactsOf: p.FactsOf.String(), Effects: effects(p),
		}
		return nil
	}
	if !r.Apply {
		return out, classify(b.Store.View(propose))
	}
	err = b.Authority.Update(func(tx *store.Tx, keys *enroll.Keys) error {
		if err := propose(tx); err != nil {
			return err
		}
		m, err := ledger.Apply(tx, p, by, b.Now())
		if err != nil {
			return err
		}
		out.Done, out.Merge = true, mergeOf(m)
		return errors.Join(asset.HostMerged(tx, m.Other, m.Keep, by, b.Now()), keys.Follow(m))
	})
	if err == nil {
		b.endSeries(ctx, p.Other.ID, p.Keep.ID)
	}
	return out, classify(err)
}

// effects says what a merge does.
func effects(p ledger.Proposal) []string {
	stays, goes, past := p.Has, p.Gives, p.Other
	present := fmt.Sprintf("present facts are those of %s (%s), seen last of those that have any", p.Keep.Name, p.Keep.ID)
	if p.FactsOf == p.Other.ID {
		stays, goes, past = p.Gives, p.Has, p.Keep
		present = fmt.Sprintf("present facts and name become those of %s (%s), seen last %s", p.Other.Name, p.Other.ID, p.Other.LastSeen.UTC().Format(time.DateTime))
	}
	out := []string{fmt.Sprintf("%s (%s)", present, sizeText(stays))}
	if goes.Sections > 0 {
		out = append(out, fmt.Sprintf("what %s (%s) has now goes into the history (%s)", past.Name, past.ID, sizeText(goes)))
	}
	return append(out,
		fmt.Sprintf("%s keeps its number and tags, and its history includes that of %s", p.Keep.ID, p.Other.ID),
		fmt.Sprintf("%s (%s) leaves the lists; keys that enrolled as it stand for %s", p.Other.Name, p.Other.ID, p.Keep.ID),
		fmt.Sprintf("`atalaya host unmerge %s` takes it back", p.Keep.ID),
	)
}

func sizeText(s ledger.Size) string {
	return fmt.Sprintf("sections: %d, rows: %d", s.Sections, s.Rows)
}

// UnmergeHost implements Identities.
func (b operationsBackend) UnmergeHost(ctx context.Context, keep string, r v1.UnmergeRequest, by string) (out v1.MergeResult, err error) {
	var m ledger.Merge
	last := func(tx *store.Tx) error {
		h, err := anyHost(tx, keep)
		if err != nil {
			return err
		}
		if m, err = ledger.Last(tx, h.ID); err != nil {
			return err
		}
		other, _, err := tx.Host(m.Other)
		out = v1.MergeResult{Merge: mergeOf(m), Effects: parted(h, other, m)}
		return err
	}
	if !r.Apply {
		return out, classify(b.Store.View(last))
	}
	err = b.Authority.Update(func(tx *store.Tx, keys *enroll.Keys) error {
		if err := last(tx); err != nil {
			return err
		}
		out.Done, out.Merge.Undone = true, b.Now().UTC()
		if err := ledger.Undo(tx, m, by, b.Now()); err != nil {
			return err
		}
		return errors.Join(keys.Follow(m), asset.HostUnmerged(tx, m.Other, m.Keep, by, b.Now()))
	})
	if err == nil {
		b.endSeries(ctx, m.Keep, m.Other)
	}
	return out, classify(err)
}

// parted says what the undo of a merge does.
func parted(keep, other store.Host, m ledger.Merge) []string {
	again := fmt.Sprintf("%s (%s) has again the facts, name and tags of %s", keep.Name, keep.ID, m.At.UTC().Format(time.DateTime))
	if !keep.RemovedAt.IsZero() {
		again = fmt.Sprintf("%s (%s) stays removed; revived it has again the facts, name and tags of %s", keep.Name, keep.ID, m.At.UTC().Format(time.DateTime))
	}
	own := fmt.Sprintf("%s (%s) is a host of its own again, with the keys that came from it", m.Name, m.Other)
	if !other.RemovedAt.IsZero() && !ledger.LeftByMerge(other) {
		own = fmt.Sprintf("%s (%s) is a removed host of its own again, as before: `atalaya host revive %s` brings it back", m.Name, m.Other, m.Other)
	}
	return []string{again, own, "what came while they were one stays in the history of the first"}
}

// AcceptMachine implements Identities.
func (b operationsBackend) AcceptMachine(_ context.Context, host, by string) (out v1.Acceptance, err error) {
	err = b.Store.Update(func(tx *store.Tx) error {
		h, err := inventory.FindHost(tx, host)
		if err != nil {
			return err
		}
		text, err := ledger.Accept(tx, h.ID, by, b.Now())
		out = v1.Acceptance{HostID: h.ID.String(), Host: h.Name, Text: text}
		return err
	})
	return out, classify(err)
}

// shownEvents is how many events a host shows beside its properties.
const shownEvents = 3

// lastEvents are the newest events of a host, without the facts they rest on.
func (b inventoryBackend) lastEvents(id hostid.HostID) (out []v1.IdentityEvent, err error) {
	err = b.Store.View(func(tx *store.Tx) error {
		r, err := ledger.Record(tx, id)
		out = events(r.Events)
		return err
	})
	out = out[:min(len(out), shownEvents)]
	for i := range out {
		out[i].Facts = nil
	}
	return out, classify(err)
}
