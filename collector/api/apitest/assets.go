package apitest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"atalaya/collector/api"
	"atalaya/collector/api/v1"
	"atalaya/collector/asset"
	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// declared is the fleet's asset records: a real book, because their rules are what clients
// show. It begins with IT-1, which is web1, and a custom field.
func (f *Fleet) declared() (api.Assets, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil || f.assets != nil {
		return f.assets, f.fail
	}
	dir, err := os.MkdirTemp("", "atalaya-apitest-")
	if err != nil {
		return nil, err
	}
	s, err := store.Open(store.Config{Path: filepath.Join(dir, store.FileName), NoSync: true, Now: func() time.Time { return f.Now }})
	// What is open stays; nothing is left when the test ends.
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		return nil, err
	}
	book := asset.New(s)
	err = s.Update(func(tx *store.Tx) error {
		for _, h := range f.HostList {
			id, err := identity.ParseHostID(h.ID)
			if err == nil {
				err = tx.PutHost(store.Host{ID: id, Name: h.Name, EnrolledAt: h.EnrolledAt, LastSeen: h.LastSeen})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	values := map[string]string{"asset_tag": "IT-1", "owner": "Ana Gil", "location": "Madrid", "status": "in_use", "warranty_end": "2027-01-31"}
	if len(f.HostList) > 0 {
		values["host"] = f.HostList[len(f.HostList)-1].ID
	}
	_, err1 := book.Add(asset.Edit{By: "sample", Set: values})
	_, err4 := book.Add(asset.Edit{By: "sample", Set: map[string]string{"asset_tag": "IT-7", "kind": "printer", "price": "310.00 EUR"}})
	_, err2 := book.Lock("IT-1", []string{"location"}, "sample", "audit 2026")
	err3 := book.Define(asset.Field{Name: "colour", Type: asset.Choice, Choices: []string{"red", "blue"}}, "sample")
	f.assets = api.AssetsOf(book)
	return f.assets, errors.Join(err1, err2, err3, err4)
}

// declaredOf asks the records, unless the fleet was told to fail.
func declaredOf[T any](f *Fleet, ask func(api.Assets) (T, error)) (out T, err error) {
	book, err := f.declared()
	if err != nil {
		return out, err
	}
	return ask(book)
}

// Assets implements api.Assets.
func (f *Fleet) Assets(ctx context.Context, q v1.AssetQuery) (v1.AssetPage, error) {
	return declaredOf(f, func(b api.Assets) (v1.AssetPage, error) { return b.Assets(ctx, q) })
}

// Asset implements api.Assets.
func (f *Fleet) Asset(ctx context.Context, ref string) (v1.Asset, error) {
	return declaredOf(f, func(b api.Assets) (v1.Asset, error) { return b.Asset(ctx, ref) })
}

// AddAsset implements api.Assets.
func (f *Fleet) AddAsset(ctx context.Context, e v1.AssetEdit, by string) (v1.AssetEdited, error) {
	return declaredOf(f, func(b api.Assets) (v1.AssetEdited, error) { return b.AddAsset(ctx, e, by) })
}

// EditAsset implements api.Assets.
func (f *Fleet) EditAsset(ctx context.Context, ref string, e v1.AssetEdit, by string) (v1.AssetEdited, error) {
	return declaredOf(f, func(b api.Assets) (v1.AssetEdited, error) { return b.EditAsset(ctx, ref, e, by) })
}

// LockAsset implements api.Assets.
func (f *Fleet) LockAsset(ctx context.Context, ref string, l v1.AssetLocking, by string) (v1.Asset, error) {
	return declaredOf(f, func(b api.Assets) (v1.Asset, error) { return b.LockAsset(ctx, ref, l, by) })
}

// UnlockAsset implements api.Assets.
func (f *Fleet) UnlockAsset(ctx context.Context, ref string, l v1.AssetLocking, by string) (v1.Asset, error) {
	return declaredOf(f, func(b api.Assets) (v1.Asset, error) { return b.UnlockAsset(ctx, ref, l, by) })
}

// RemoveAsset implements api.Assets.
func (f *Fleet) RemoveAsset(ctx context.Context, ref, reason, by string) (v1.Asset, error) {
	return declaredOf(f, func(b api.Assets) (v1.Asset, error) { return b.RemoveAsset(ctx, ref, reason, by) })
}

// AssetHistory implements api.Assets.
func (f *Fleet) AssetHistory(ctx context.Context, ref string, p v1.Page) (v1.AssetHistory, error) {
	return declaredOf(f, func(b api.Assets) (v1.AssetHistory, error) { return b.AssetHistory(ctx, ref, p) })
}

// AssetFields implements api.Assets.
func (f *Fleet) AssetFields(ctx context.Context) ([]v1.AssetField, error) {
	return declaredOf(f, func(b api.Assets) ([]v1.AssetField, error) { return b.AssetFields(ctx) })
}

// AddAssetField implements api.Assets.
func (f *Fleet) AddAssetField(ctx context.Context, name string, field v1.AssetFieldRequest, by string) error {
	book, err := f.declared()
	return call(err, func() error { return book.AddAssetField(ctx, name, field, by) })
}

// RemoveAssetField implements api.Assets.
func (f *Fleet) RemoveAssetField(ctx context.Context, name, by string) error {
	book, err := f.declared()
	return call(err, func() error { return book.RemoveAssetField(ctx, name, by) })
}

// call is fn, unless something failed before.
func call(before error, fn func() error) error {
	if before != nil {
		return before
	}
	return fn()
}

// ImportAssets implements api.Assets.
func (f *Fleet) ImportAssets(ctx context.Context, in v1.AssetImport, by string) (v1.AssetPlan, error) {
	return declaredOf(f, func(b api.Assets) (v1.AssetPlan, error) { return b.ImportAssets(ctx, in, by) })
}

// ExportAssets implements api.Assets.
func (f *Fleet) ExportAssets(ctx context.Context, w io.Writer) error {
	book, err := f.declared()
	return call(err, func() error { return book.ExportAssets(ctx, w) })
}
