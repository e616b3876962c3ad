package api

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/asset"
)

// assetBackend fits package asset to Assets.
type assetBackend struct{ book *asset.Book }

// AssetsOf gives a book of assets the form in which the interface asks it.
func AssetsOf(book *asset.Book) Assets { return assetBackend{book} }

// Assets implements Assets.
func (b assetBackend) Assets(_ context.Context, q v1.AssetQuery) (out v1.AssetPage, err error) {
	query := asset.Query{Tag: q.Tag, Undeclared: q.Undeclared, After: q.Cursor, Limit: q.Limit}
	if query.Where, err = pairsOf(q.Where); err != nil {
		return out, err
	}
	if query.Before, err = pairsOf(q.Before); err != nil {
		return out, err
	}
	list, next, err := b.book.Assets(query)
	for _, a := range list {
		out.Assets = append(out.Assets, assetForm(a))
	}
	out.Next = next
	return out, classify(err)
}

// pairsOf reads texts of the form FIELD=VALUE.
func pairsOf(texts []string) (map[string]string, error) {
	out := map[string]string{}
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if _, twice := out[name]; !ok || twice {
			return nil, fmt.Errorf("%w: want FIELD=VALUE, each field once: %q", ErrInvalid, text)
		}
		out[name] = value
	}
	return out, nil
}

func assetForm(a asset.Asset) v1.Asset {
	out := v1.Asset{Fields: map[string]string{}, Observed: a.Observed, Differs: a.Differs, ChangedBy: a.ChangedBy, AddedAt: utc(a.AddedAt.Time()), ChangedAt: utc(a.ChangedAt.Time())}
	if a.Record.ID != 0 {
		out.ID = a.Record.ID.String()
	}
	for name, v := range a.Values {
		if name != asset.FieldHost {
			out.Fields[name] = v
		}
	}
	if a.Host != nil {
		out.HostID, out.Host, out.HostGone = a.Host.ID.String(), a.Host.Name, a.Host.Removed
	}
	for name, l := range a.Locks {
		if out.Locks == nil {
			out.Locks = map[string]v1.AssetLock{}
		}
		out.Locks[name] = v1.AssetLock{By: l.By, At: utc(l.At.Time()), Reason: l.Why}
	}
	return out
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func fieldChanges(changes []asset.FieldChange) []v1.AssetFieldChange {
	out := make([]v1.AssetFieldChange, len(changes))
	for i, c := range changes {
		out[i] = v1.AssetFieldChange{Field: c.Field, Old: c.Old, New: c.New}
	}
	return out
}

// Asset implements Assets.
func (b assetBackend) Asset(_ context.Context, ref string) (v1.Asset, error) {
	a, err := b.book.Asset(ref)
	return assetForm(a), classify(err)
}

// AddAsset implements Assets.
func (b assetBackend) AddAsset(_ context.Context, e v1.AssetEdit, by string) (v1.AssetEdited, error) {
	if len(e.Unset) > 0 {
		return v1.AssetEdited{}, fmt.Errorf("%w: a new asset has nothing to unset", ErrInvalid)
	}
	a, err := b.book.Add(asset.Edit{By: by, Why: e.Reason, Set: e.Set})
	out := v1.AssetEdited{Asset: assetForm(a)}
	for name := range e.Set {
		out.Changes = append(out.Changes, v1.AssetFieldChange{Field: name, New: a.Values[name]})
	}
	slices.SortFunc(out.Changes, func(x, y v1.AssetFieldChange) int { return strings.Compare(x.Field, y.Field) })
	return out, classify(err)
}

// EditAsset implements Assets.
func (b assetBackend) EditAsset(_ context.Context, ref string, e v1.AssetEdit, by string) (v1.AssetEdited, error) {
	a, changes, err := b.book.Change(ref, asset.Edit{By: by, Why: e.Reason, Set: e.Set, Unset: e.Unset})
	return v1.AssetEdited{Asset: assetForm(a), Changes: fieldChanges(changes)}, classify(err)
}

// LockAsset implements Assets.
func (b assetBackend) LockAsset(_ context.Context, ref string, l v1.AssetLocking, by string) (v1.Asset, error) {
	a, err := b.book.Lock(ref, l.Fields, by, l.Reason)
	return assetForm(a), classify(err)
}

// UnlockAsset implements Assets.
func (b assetBackend) UnlockAsset(_ context.Context, ref string, l v1.AssetLocking, by string) (v1.Asset, error) {
	a, err := b.book.Unlock(ref, l.Fields, by, l.Reason)
	return assetForm(a), classify(err)
}

// RemoveAsset implements Assets.
func (b assetBackend) RemoveAsset(_ context.Context, ref, reason, by string) (v1.Asset, error) {
	r, err := b.book.Remove(ref, by, reason)
	return assetForm(asset.Asset{Record: r}), classify(err)
}

// AssetHistory implements Assets.
func (b assetBackend) AssetHistory(_ context.Context, ref string, p v1.Page) (out v1.AssetHistory, err error) {
	before := uint64(0)
	if p.Cursor != "" {
		if before, err = strconv.ParseUint(p.Cursor, 10, 64); err != nil {
			return out, errPageCursor
		}
	}
	_, changes, more, err := b.book.History(ref, before, p.Limit)
	for _, c := range changes {
		line := v1.AssetChange{Seq: c.Seq, At: utc(c.At.Time()), By: c.By, Kind: string(c.Kind), Note: c.Note, Fields: fieldChanges(c.Fields)}
		if c.Asset != 0 {
			line.Asset = c.Asset.String()
		}
		out.Changes = append(out.Changes, line)
	}
	if more {
		out.Next = strconv.FormatUint(changes[len(changes)-1].Seq, 10)
	}
	return out, classify(err)
}

// AssetFields implements Assets.
func (b assetBackend) AssetFields(context.Context) ([]v1.AssetField, error) {
	fields, err := b.book.Fields()
	out := make([]v1.AssetField, len(fields))
	for i, f := range fields {
		out[i] = v1.AssetField{Name: f.Name, Type: string(f.Type), Doc: f.Doc, Choices: f.Choices, Custom: f.Custom}
	}
	return out, classify(err)
}

// AddAssetField implements Assets.
func (b assetBackend) AddAssetField(_ context.Context, name string, f v1.AssetFieldRequest, by string) error {
	return classify(b.book.Define(asset.Field{Name: name, Type: asset.Type(f.Type), Doc: f.Doc, Choices: f.Choices}, by))
}

// RemoveAssetField implements Assets.
func (b assetBackend) RemoveAssetField(_ context.Context, name, by string) error {
	return classify(b.book.Forget(name, by))
}

// maxPlanRows bounds the rows that the answer to an import holds.
const maxPlanRows = 2000

// ImportAssets implements Assets.
func (b assetBackend) ImportAssets(_ context.Context, in v1.AssetImport, by string) (out v1.AssetPlan, err error) {
	separator := rune(0)
	for _, r := range in.Separator {
		separator = r
	}
	key := in.Key
	if key == "" {
		key = asset.FieldTag
	}
	plan, err := b.book.Import(asset.Import{
		Content: in.Content, File: in.File, Separator: separator, Key: key, Map: in.Map, Currency: in.Currency, ClearEmpty: in.ClearEmpty,
		DeleteMissing: in.DeleteMissing, SkipRefused: in.SkipRefused, Apply: in.Apply, By: by,
	})
	if err != nil {
		return out, classify(err)
	}
	out = v1.AssetPlan{
		Applied: plan.Applied, Added: plan.Added, Changed: plan.Changed, Unchanged: plan.Unchanged, Removed: plan.Removed, Refused: plan.Refused,
		Linked: plan.Linked, Separator: string(plan.Separator), Ignored: plan.Ignored,
	}
	if len(plan.Rows) > maxPlanRows {
		slices.SortStableFunc(plan.Rows, func(x, y asset.PlanRow) int {
			return boolOrder(y.Action == asset.Refused) - boolOrder(x.Action == asset.Refused)
		})
		out.More, plan.Rows = len(plan.Rows)-maxPlanRows, plan.Rows[:maxPlanRows]
	}
	for _, r := range plan.Rows {
		row := v1.AssetPlanRow{Line: r.Line, Action: string(r.Action), Label: r.Label, Fields: fieldChanges(r.Fields), Reason: r.Reason}
		if r.Asset != 0 {
			row.Asset = r.Asset.String()
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

// ExportAssets implements Assets.
func (b assetBackend) ExportAssets(_ context.Context, w io.Writer) error {
	return classify(b.book.Export(w))
}
