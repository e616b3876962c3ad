package asset

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// linker is who made a link that nobody asked for.
const linker = "collector"

// junk are texts that firmware has where nobody wrote a serial number or tag.
var junk = []string{
	"default string", "to be filled by o.e.m.", "to be filled by oem", "system serial number", "chassis serial number", "serial number",
	"not specified", "not applicable", "not available", "not settable", "none", "unknown", "n/a", "na", "o.e.m.", "oem", "invalid", "empty",
	"no asset tag", "no asset information", "asset tag", "asset-1234567890", "chassis asset tag", "0123456789", "123456789", "1234567890",
}

// genuine is a text of firmware, "" when it says nothing.
func genuine(text string) string {
	text = strings.TrimSpace(text)
	folded := strings.ToLower(text)
	if len(text) < 3 || slices.Contains(junk, folded) || strings.Trim(folded, folded[:1]+" .-") == "" {
		return ""
	}
	return text
}

// Run links assets to hosts as these report, until ctx ends.
func (b *Book) Run(ctx context.Context) error { return b.store.Follow(ctx, b.follower()) }

// follower looks at the hosts whose names or serial numbers changed. It has no tables:
// links are declared, and stay when it begins anew.
func (b *Book) follower() store.Follower {
	return store.Follower{Name: "asset_links", Version: 1, Sections: []facts.ID{facts.OS, facts.System, facts.Chassis, facts.Board}, Fold: b.fold}
}

func (b *Book) fold(tx *store.Tx, changes []store.Change) error {
	if n, err := tx.Table(tableRecords).Count(); err != nil || n == 0 {
		return err
	}
	if err := whole(tx); err != nil {
		return err
	}
	var seen []identity.HostID
	for _, c := range changes {
		if slices.Contains(seen, c.Host) {
			continue
		}
		seen = append(seen, c.Host)
		h, known, err := tx.Host(c.Host)
		if err != nil {
			return err
		}
		if !known || !h.RemovedAt.IsZero() {
			continue
		}
		if _, err := b.linkHost(tx, h); err != nil {
			return err
		}
	}
	return nil
}

// LinkAssets looks for the hosts of these assets, or of all where none is named, and
// returns how many it linked. An asset is linked to the one host that reports its serial
// number, else its asset tag, else its name.
func (b *Book) LinkAssets(ids ...ID) (linked int, err error) {
	wanted := false
	var hosts []store.Host
	err = b.view(func(tx *store.Tx) error {
		keys := map[string]bool{}
		err := eachOf(tx, ids, func(r Record) error {
			free, err := linkable(tx, r)
			for _, name := range []string{FieldSerial, FieldTag, FieldName} {
				if v := foldKey(r.Values[name]); free && v != "" {
					keys[name+" "+v], wanted = true, true
				}
			}
			return err
		})
		if err != nil || !wanted {
			return err
		}
		return tx.Hosts(func(h store.Host) error {
			said, err := observe(tx, h)
			for name, v := range said {
				if keys[name+" "+foldKey(v)] {
					hosts = append(hosts, h)
					break
				}
			}
			return err
		})
	})
	if err != nil || len(hosts) == 0 {
		return 0, err
	}
	err = b.store.Update(func(tx *store.Tx) error {
		for _, h := range hosts {
			done, err := b.linkHost(tx, h)
			if err != nil {
				return err
			}
			if done {
				linked++
			}
		}
		return nil
	})
	return linked, err
}

func eachOf(tx *store.Tx, ids []ID, fn func(Record) error) error {
	if len(ids) == 0 {
		return Each(tx, 0, fn)
	}
	for _, id := range ids {
		r, ok, err := readRecord(tx, id)
		if err != nil {
			return err
		}
		if ok {
			if err := fn(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// linkable reports whether an asset has no host, or one that is gone, and may get one.
func linkable(tx *store.Tx, r Record) (bool, error) {
	if _, locked := r.Locks[FieldHost]; locked || r.Values[FieldStatus] == statusDisposed {
		return false, nil
	}
	id, ok := r.Host()
	if !ok {
		return true, nil
	}
	h, known, err := tx.Host(id)
	return !known || !h.RemovedAt.IsZero(), err
}

// linkHost links a host that is no asset yet to the one that it must be, if there is.
func (b *Book) linkHost(tx *store.Tx, h store.Host) (bool, error) {
	if ids, err := byKey(tx, keyHost, h.ID.String()); err != nil || len(ids) > 0 {
		return false, err
	}
	said, err := observe(tx, h)
	if err != nil {
		return false, err
	}
	for _, k := range []struct{ kind, field string }{{keySerial, FieldSerial}, {keyTag, FieldTag}, {keyName, FieldName}} {
		value := said[k.field]
		r, ok, err := onlyOne(tx, k.kind, value)
		if err != nil {
			return false, err
		}
		if !ok || k.kind != keySerial && contradicts(r, said) {
			continue
		}
		p, err := newPen(tx, linker, b.store.Now())
		if err != nil {
			return false, err
		}
		e := Edit{Why: fmt.Sprintf("the host reports its %s", k.field), Set: map[string]string{FieldHost: h.ID.String()}}
		_, _, err = p.change(r, e)
		if errors.Is(err, ErrConflict) {
			return false, nil // more tags than there may be: people will have to link it
		}
		return err == nil, err
	}
	return false, nil
}

// onlyOne returns the one asset that has a value and may be linked; false when there is
// none, or several.
func onlyOne(tx *store.Tx, kind, value string) (found Record, ok bool, err error) {
	ids, err := byKey(tx, kind, value)
	if err != nil {
		return found, false, err
	}
	for _, id := range ids {
		r, known, err := readRecord(tx, id)
		if err != nil {
			return found, false, err
		}
		free, err := linkable(tx, r)
		if err != nil {
			return found, false, err
		}
		if !known || !free {
			continue
		}
		if ok {
			return Record{}, false, nil
		}
		found, ok = r, true
	}
	return found, ok, nil
}

// contradicts reports whether a host has another serial number than the asset.
func contradicts(r Record, said map[string]string) bool {
	declared, observed := foldKey(r.Values[FieldSerial]), foldKey(said[FieldSerial])
	return declared != "" && observed != "" && declared != observed
}

// mergeNote is how the link of a merge is known again when it is undone.
func mergeNote(from, into identity.HostID) string {
	return fmt.Sprintf("host %s was merged into %s", from, into)
}

// HostMerged moves the asset of a host to the host that it was merged into. When that is
// an asset already, the asset of the merged host is left without one. Locks do not hold
// this up: the machine is the same. It belongs into the transaction of the merge.
func HostMerged(tx *store.Tx, from, into identity.HostID, by string, now time.Time) error {
	r, ok, err := OfHost(tx, from)
	if err != nil || !ok {
		return err
	}
	_, taken, err := OfHost(tx, into)
	if err != nil {
		return err
	}
	fc := FieldChange{Field: FieldHost, Old: from.String()}
	if !taken {
		fc.New = into.String()
	}
	return relink(tx, r, fc, by, mergeNote(from, into), now)
}

// HostUnmerged undoes what HostMerged did, unless somebody has linked the asset anew since.
func HostUnmerged(tx *store.Tx, from, into identity.HostID, by string, now time.Time) error {
	if err := whole(tx); err != nil {
		return err
	}
	var last Change
	err := EachChange(tx, 0, func(c Change) error {
		if c.Note != mergeNote(from, into) || c.Kind != Changed {
			return nil
		}
		last = c
		return store.ErrStop
	})
	if err != nil || last.Seq == 0 {
		return err
	}
	r, ok, err := readRecord(tx, last.Asset)
	if err != nil || !ok {
		return err
	}
	i := slices.IndexFunc(last.Fields, func(fc FieldChange) bool { return fc.Field == FieldHost })
	if i < 0 || r.Values[FieldHost] != last.Fields[i].New {
		return nil
	}
	if _, taken, err := OfHost(tx, from); err != nil || taken {
		return err
	}
	fc := FieldChange{Field: FieldHost, Old: r.Values[FieldHost], New: from.String()}
	return relink(tx, r, fc, by, fmt.Sprintf("the merge of host %s into %s was undone", from, into), now)
}

func relink(tx *store.Tx, r Record, fc FieldChange, by, why string, now time.Time) error {
	p, err := newPen(tx, by, now)
	if err != nil {
		return err
	}
	_, err = p.write(Change{Asset: r.ID, Kind: Changed, Note: why, Fields: []FieldChange{fc}})
	return err
}
