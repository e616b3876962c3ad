package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"atalaya/collector/api/v1"
	"atalaya/collector/asset"
	"atalaya/collector/enroll"
	"atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/inventory"
	"atalaya/collector/store"
	hostid "atalaya/shared/identity"
)

// RemoveHost implements Operations. Host and keys go together: what cannot be written
// whole leaves both as they were.
func (b operationsBackend) RemoveHost(ctx context.Context, host, reason string) (out v1.RemovedHost, err error) {
	ref, err := b.Inventory.Lookup(host)
	if err != nil {
		return out, classify(err)
	}
	at := b.Now()
	err = b.Authority.Update(func(tx *store.Tx, keys *enroll.Keys) error {
		if err := tx.RemoveHost(ref.ID, at, reason); err != nil {
			return err
		}
		note := identity.Event{At: at, Kind: identity.Removed, By: principal(ctx).Name, Text: "an administrator took it out of the fleet: " + cmp.Or(reason, "no reason given")}
		if err := errors.Join(ledger.Note(tx, ref.ID, note), keys.Retire(ref.ID)); err != nil {
			return err
		}
		h, _, err := tx.Host(ref.ID)
		out = removedHost(h)
		return err
	})
	if err == nil {
		b.endSeries(ctx, ref.ID)
	}
	return out, classify(err)
}

// endSeries ends the series of hosts that left, or are called otherwise now, before the
// next evaluation of any rule. What fails here the collector does at its next look at all
// hosts.
func (b operationsBackend) endSeries(ctx context.Context, ids ...hostid.HostID) {
	for _, id := range ids {
		name := ""
		err := b.Store.View(func(tx *store.Tx) error {
			h, known, err := tx.Host(id)
			if known && h.RemovedAt.IsZero() {
				name = h.Name
			}
			return err
		})
		if err == nil {
			_, err = b.Series.End(ctx, id, name)
		}
		if err != nil {
			b.Log.Warn("series of a host that left not ended yet", "host", id.String(), "err", err)
		}
	}
}

func removedHost(h store.Host) v1.RemovedHost {
	return v1.RemovedHost{HostID: h.ID.String(), Host: h.Name, RemovedAt: h.RemovedAt.UTC(), Reason: h.RemovedWhy, Tags: h.Tags}
}

// ReviveHost implements Operations.
func (b operationsBackend) ReviveHost(ctx context.Context, host string) (out v1.Revival, err error) {
	var id hostid.HostID
	err = b.Authority.Update(func(tx *store.Tx, keys *enroll.Keys) error {
		h, err := findRemoved(tx, host)
		if err != nil {
			return err
		}
		if m, part, err := ledger.PartOf(tx, h.ID); err != nil || part {
			return errors.Join(err, fmt.Errorf("%w: %s was merged into %s: `atalaya host unmerge %s` takes that back", ErrInvalid, h.Name, m.Keep, m.Keep))
		}
		id, out = h.ID, v1.Revival{HostID: h.ID.String(), Host: h.Name}
		if out.Keys, err = keys.Reinstate(h.ID); err != nil {
			return err
		}
		at := b.Now()
		note := identity.Event{At: at, Kind: identity.Revived, By: principal(ctx).Name, Text: fmt.Sprintf("an administrator brought it back; %d of its keys are trusted again", out.Keys)}
		if out.Keys == 0 {
			note.Text = "an administrator brought it back; none of its keys is trusted: its agent has to enrol anew with a new token"
		}
		return errors.Join(tx.ReviveHost(h.ID, at), ledger.Note(tx, h.ID, note))
	})
	if err != nil {
		return out, classify(err)
	}
	_, out.Revoked = b.Authority.RevokedHosts()[id]
	return out, nil
}

// findRemoved finds a removed host by its number or its name.
func findRemoved(tx *store.Tx, ref string) (store.Host, error) {
	var found []store.Host
	err := tx.AllHosts(hostid.HostID{}, func(h store.Host) error {
		if !h.RemovedAt.IsZero() && (h.ID.String() == ref || h.Name == ref) {
			found = append(found, h)
		}
		return nil
	})
	switch {
	case err != nil:
		return store.Host{}, err
	case len(found) == 0:
		return store.Host{}, fmt.Errorf("%w: no removed host %q", ErrNotFound, ref)
	case len(found) == 1:
		return found[0], nil
	}
	e := &inventory.AmbiguousError{Ref: ref, More: max(0, len(found)-maxNamed)}
	for _, h := range found[:min(len(found), maxNamed)] {
		e.Matches = append(e.Matches, inventory.HostRef{ID: h.ID, Name: h.Name})
	}
	return store.Host{}, e
}

// maxNamed is how many removed hosts of one name an error lists.
const maxNamed = 10

// RemovedHosts implements Operations.
func (b operationsBackend) RemovedHosts(context.Context) (out []v1.RemovedHost, err error) {
	err = b.Store.View(func(tx *store.Tx) error {
		return tx.AllHosts(hostid.HostID{}, func(h store.Host) error {
			if !h.RemovedAt.IsZero() {
				out = append(out, removedHost(h))
			}
			return nil
		})
	})
	slices.SortStableFunc(out, func(x, y v1.RemovedHost) int { return y.RemovedAt.Compare(x.RemovedAt) })
	return out, classify(err)
}

// TagHost implements Operations.
func (b operationsBackend) TagHost(ctx context.Context, host string, change v1.TagChange) (out v1.HostTags, err error) {
	err = b.Store.Update(func(tx *store.Tx) error {
		h, err := inventory.FindHost(tx, host)
		if err != nil {
			return err
		}
		tags := slices.Concat(h.Tags, change.Add)
		slices.Sort(tags)
		tags = slices.DeleteFunc(slices.Compact(tags), func(tag string) bool { return slices.Contains(change.Remove, tag) })
		if len(tags) > v1.MaxTags {
			return fmt.Errorf("%w: a host has %d tags at most", ErrInvalid, v1.MaxTags)
		}
		h.Tags = tags
		out = v1.HostTags{HostID: h.ID.String(), Host: h.Name, Tags: tags}
		if err := tx.PutHost(h); err != nil {
			return err
		}
		return asset.HostTagged(tx, h, principal(ctx).Name, b.Now())
	})
	return out, classify(err)
}
