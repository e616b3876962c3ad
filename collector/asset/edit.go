package asset

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// Edit is a change that somebody asks for.
type Edit struct {
	By    string            // who, for the history
	Why   string            // reason, or the file that it comes from
	Set   map[string]string // by name of the field
	Unset []string          // names of fields
}

// maxAssets bounds the records; what is asked of all of them stays within seconds.
const maxAssets = 500_000

// Add makes an asset. It may stand for a host, or for something that has no agent.
func (b *Book) Add(e Edit) (a Asset, err error) {
	err = b.write(e.By, func(p *pen) error {
		r, _, err := p.add(e)
		if err != nil {
			return err
		}
		a, err = describe(p.tx, r, true)
		return err
	})
	if err != nil {
		return a, err
	}
	return b.linked(a)
}

// linked looks for the host of an asset that has none, after it was written.
func (b *Book) linked(a Asset) (Asset, error) {
	if a.Host != nil {
		return a, nil
	}
	found, err := b.LinkAssets(a.Record.ID)
	if err != nil || found == 0 {
		return a, err
	}
	return b.Asset(a.Record.ID.String())
}

// Change edits an asset and returns what it did, nothing when all was so already. A host
// of which nothing is declared gets its record with its first edit.
func (b *Book) Change(ref string, e Edit) (a Asset, changes []FieldChange, err error) {
	err = b.write(e.By, func(p *pen) error {
		r, host, err := findOrHost(p.tx, ref)
		if err != nil {
			return err
		}
		if r.ID == 0 {
			e.Set = withHost(e.Set, host)
			r, changes, err = p.add(e)
		} else {
			r, changes, err = p.change(r, e)
		}
		if err != nil {
			return err
		}
		a, err = describe(p.tx, r, true)
		return err
	})
	if err != nil || len(changes) == 0 {
		return a, nil, err
	}
	a, err = b.linked(a)
	return a, changes, err
}

// withHost is what to set with the host's own link and name.
func withHost(values map[string]string, host store.Host) map[string]string {
	out := map[string]string{FieldHost: host.ID.String(), FieldName: host.Name}
	if (Field{Name: FieldName, Type: Text}).checkText(host.Name) != nil {
		delete(out, FieldName) // no name that a person would take
	}
	for name, v := range values {
		out[name] = v
	}
	return out
}

func (b *Book) write(by string, fn func(*pen) error) error {
	return b.store.Update(func(tx *store.Tx) error {
		p, err := newPen(tx, by, b.store.Now())
		if err != nil {
			return err
		}
		return fn(p)
	})
}

func (p *pen) add(e Edit) (Record, []FieldChange, error) {
	if n, err := p.tx.Table(tableRecords).Count(); err != nil || n >= maxAssets {
		return Record{}, nil, errors.Join(err, conflictf("there are %d assets already, as many as there may be", n))
	}
	p.last++
	r := Record{ID: p.last}.clone()
	changes, err := p.edits(r, e)
	if err == nil && len(changes) == 0 {
		err = invalidf("an asset needs at least one value, such as name=printer-2")
	}
	if err != nil {
		p.last--
		return r, nil, err
	}
	return p.carryOut(r, Change{Asset: r.ID, Kind: Added, Note: e.Why, Fields: changes})
}

func (p *pen) change(r Record, e Edit) (Record, []FieldChange, error) {
	changes, err := p.edits(r, e)
	if err != nil || len(changes) == 0 {
		return r, nil, err
	}
	return p.carryOut(r, Change{Asset: r.ID, Kind: Changed, Note: e.Why, Fields: changes})
}

func (p *pen) carryOut(r Record, c Change) (Record, []FieldChange, error) {
	r = r.clone()
	if err := p.shareTags(r, &c); err != nil {
		return r, nil, err
	}
	c, err := p.write(c)
	if err != nil {
		return r, nil, err
	}
	r.apply(c)
	return r, c.Fields, nil
}

// edits checks what an edit asks for and returns what it would change. All that is wrong
// is told at once.
func (p *pen) edits(r Record, e Edit) (changes []FieldChange, err error) {
	var errs []error
	for name, text := range e.Set {
		fc, err := p.editOf(r, name, text, e.Why)
		if slices.Contains(e.Unset, name) {
			err = invalidf("%s is to be set and unset", name)
		}
		if err != nil {
			errs = append(errs, err)
		} else if fc.Old != fc.New {
			changes = append(changes, fc)
		}
	}
	for _, name := range e.Unset {
		fc, err := p.editOf(r, name, "", e.Why)
		if err != nil {
			errs = append(errs, err)
		} else if fc.Old != fc.New {
			changes = append(changes, fc)
		}
	}
	if len(errs) > 0 {
		slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, errors.Join(errs...)
	}
	p.fields.order(changes)
	return changes, nil
}

// editOf checks one edit; an empty text takes the value away.
func (p *pen) editOf(r Record, name, text, why string) (fc FieldChange, err error) {
	f, err := p.fields.named(name)
	if err != nil {
		return fc, err
	}
	fc = FieldChange{Field: name, Old: r.Values[name]}
	if strings.TrimSpace(text) != "" {
		if f.Type == Host {
			text, err = p.hostValue(text)
		} else {
			text, err = f.canonical(text)
		}
		if err != nil {
			return fc, err
		}
		fc.New = text
	}
	if fc.Old == fc.New {
		return fc, nil
	}
	if lock, ok := r.Locks[name]; ok {
		return fc, r.lockError(name, lock)
	}
	if f.Type == Status {
		return fc, checkStep(fc.Old, fc.New, why)
	}
	return fc, p.unique(r, fc)
}

func (r Record) lockError(field string, lock Lock) error {
	why := ""
	if lock.Why != "" {
		why = fmt.Sprintf(", because: %s", lock.Why)
	}
	return conflictf("%s of %s is locked by %s since %s%s: `atalaya asset unlock %s %s` first",
		field, r.Label(), lock.By, moment(lock.At).Format(time.DateOnly), why, r.ID, field)
}

// unique refuses a value that only one asset may have, when another has it.
func (p *pen) unique(r Record, fc FieldChange) error {
	kind := map[string]string{FieldTag: keyTag, FieldHost: keyHost}[fc.Field]
	if kind == "" || fc.New == "" {
		return nil
	}
	ids, err := byKey(p.tx, kind, fc.New)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id != r.ID {
			return conflictf("%s %q: %s has it already", fc.Field, fc.New, id)
		}
	}
	return nil
}

// hostValue is the number of the host that a person means.
func (p *pen) hostValue(text string) (string, error) {
	text = strings.TrimSpace(text)
	if named := p.hosts[text]; len(named) == 1 {
		return named[0].String(), nil
	}
	if _, err := identity.ParseHostID(text); err != nil && p.hosts != nil && len(p.hosts[text]) == 0 {
		return "", noHost(text)
	}
	h, err := inventory.FindHost(p.tx, text)
	var ambiguous *inventory.AmbiguousError
	switch {
	case errors.Is(err, inventory.ErrNotFound):
		return "", noHost(text)
	case errors.As(err, &ambiguous):
		return "", invalidf("host: %w", err)
	case err != nil:
		return "", err
	}
	return h.ID.String(), nil
}

func noHost(text string) error {
	return invalidf("host: no host %q: `atalaya host list` lists them; leave it empty, and the asset finds its host by its serial number", short(text))
}

// shareTags keeps the tags of an asset and of its host the same: setting them sets the
// host's, and a link gives each the tags of the other.
func (p *pen) shareTags(r Record, c *Change) error {
	after := r.clone()
	after.apply(*c)
	id, ok := after.Host()
	if !ok {
		return nil
	}
	h, known, err := p.tx.Host(id)
	if err != nil || !known || !h.RemovedAt.IsZero() {
		return err
	}
	given := slices.ContainsFunc(c.Fields, func(fc FieldChange) bool { return fc.Field == FieldTags })
	linked := slices.ContainsFunc(c.Fields, func(fc FieldChange) bool { return fc.Field == FieldHost })
	want := strings.Fields(after.Values[FieldTags])
	if linked {
		want = append(want, h.Tags...)
	}
	if !given && !linked {
		return nil
	}
	slices.Sort(want)
	want = slices.Compact(want)
	if len(want) > maxTags {
		return conflictf("tags: %s and its host would have %d, %d at most", r.Label(), len(want), maxTags)
	}
	if text := strings.Join(want, " "); text != after.Values[FieldTags] {
		c.Fields = slices.DeleteFunc(slices.Clone(c.Fields), func(fc FieldChange) bool { return fc.Field == FieldTags })
		c.Fields = append(c.Fields, FieldChange{Field: FieldTags, Old: r.Values[FieldTags], New: text})
	}
	if slices.Equal(h.Tags, want) {
		return nil
	}
	h.Tags = want
	return p.tx.PutHost(h)
}

// HostTagged tells the asset of a host that the host's tags were changed; it belongs into
// the transaction that does. A lock on the asset's tags refuses.
func HostTagged(tx *store.Tx, host store.Host, by string, now time.Time) error {
	r, ok, err := OfHost(tx, host.ID)
	if err != nil || !ok {
		return err
	}
	p, err := newPen(tx, by, now)
	if err != nil {
		return err
	}
	e := Edit{Set: map[string]string{FieldTags: strings.Join(host.Tags, " ")}}
	_, _, err = p.change(r, e)
	return err
}
