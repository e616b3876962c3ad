package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

// Assets keeps what is declared of assets. by is who asks.
type Assets interface {
	Assets(ctx context.Context, q v1.AssetQuery) (v1.AssetPage, error)
	Asset(ctx context.Context, ref string) (v1.Asset, error)
	AddAsset(ctx context.Context, e v1.AssetEdit, by string) (v1.AssetEdited, error)
	EditAsset(ctx context.Context, ref string, e v1.AssetEdit, by string) (v1.AssetEdited, error)
	LockAsset(ctx context.Context, ref string, l v1.AssetLocking, by string) (v1.Asset, error)
	UnlockAsset(ctx context.Context, ref string, l v1.AssetLocking, by string) (v1.Asset, error)
	RemoveAsset(ctx context.Context, ref, reason, by string) (v1.Asset, error)
	// AssetHistory is of all assets where ref is empty.
	AssetHistory(ctx context.Context, ref string, p v1.Page) (v1.AssetHistory, error)
	AssetFields(ctx context.Context) ([]v1.AssetField, error)
	AddAssetField(ctx context.Context, name string, f v1.AssetFieldRequest, by string) error
	RemoveAssetField(ctx context.Context, name, by string) error
	ImportAssets(ctx context.Context, in v1.AssetImport, by string) (v1.AssetPlan, error)
	// ExportAssets writes CSV. What it cannot write whole it must not begin.
	ExportAssets(ctx context.Context, w io.Writer) error
}

// AssetParam names an asset in a path.
type AssetParam struct {
	Asset string `path:"asset" minLength:"1" maxLength:"500" doc:"number, tag, serial number, name or host"`
}

// AssetFieldParam names a field of assets.
type AssetFieldParam struct {
	Name string `path:"name" minLength:"1" maxLength:"64"`
}

func (a *API) assetRoutes(routes huma.API) {
	get(routes, "/api/v1/assets", "list-assets", "List assets, and hosts of which nothing is declared", a.assets)
	get(routes, "/api/v1/assets/{asset}", "get-asset", "An asset with what its host says", a.asset)
	register(routes, http.MethodPost, "/api/v1/assets", "add-asset", "Declare an asset", http.StatusCreated, a.addAsset)
	register(routes, http.MethodPost, "/api/v1/assets/{asset}/edit", "edit-asset", "Set values of an asset and take values away", http.StatusOK, a.editAsset)
	register(routes, http.MethodPost, "/api/v1/assets/{asset}/lock", "lock-asset", "Keep fields of an asset from edits and imports", http.StatusOK, a.lockAsset)
	register(routes, http.MethodPost, "/api/v1/assets/{asset}/unlock", "unlock-asset", "End locks of fields", http.StatusOK, a.unlockAsset)
	register(routes, http.MethodPost, "/api/v1/assets/{asset}/remove", "remove-asset", "Take the record of an asset away; its history stays", http.StatusOK, a.removeAsset)
	get(routes, "/api/v1/asset-history", "list-asset-history", "Changes of asset records, newest first", a.assetHistory)
	get(routes, "/api/v1/asset-fields", "list-asset-fields", "Fields that assets may have", a.assetFields)
	register(routes, http.MethodPut, "/api/v1/asset-fields/{name}", "add-asset-field", "Define a custom field", http.StatusNoContent, a.addAssetField)
	register(routes, http.MethodDelete, "/api/v1/asset-fields/{name}", "remove-asset-field", "Take a custom field away", http.StatusNoContent, a.removeAssetField)
	registerUpTo(maxFile, routes, http.MethodPost, "/api/v1/asset-import", "import-assets", "Compare a CSV file with the records, and make them so when told", http.StatusOK, a.importAssets)
	a.guard.HandleFunc("GET /api/v1/asset-export", a.exportAssets)
	describe(routes, "/api/v1/asset-export", "export-assets", "All assets as a CSV file that can be imported", "text/csv")
}

func (a *API) assets(ctx context.Context, in *struct {
	Where      []string `query:"where,explode" maxItems:"20" doc:"FIELD=VALUE, in any case; * and ? stand for parts; an empty value: not declared"`
	Before     []string `query:"before,explode" maxItems:"20" doc:"FIELD=DAY: a date before that day"`
	Tag        string   `query:"tag" maxLength:"64"`
	Undeclared bool     `query:"undeclared" doc:"only hosts of which nothing is declared"`
	PageParams
}) (*body[v1.AssetPage], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	out, err := a.Assets.Assets(ctx, v1.AssetQuery{Where: in.Where, Before: in.Before, Tag: in.Tag, Undeclared: in.Undeclared, Page: page})
	out.Now, out.Assets, out.Next = a.now(), nonNil(out.Assets), opaque(out.Next)
	return answer(out, err)
}

func (a *API) assetDocument(out v1.Asset, err error) (*body[v1.AssetDocument], error) {
	return answer(v1.AssetDocument{Now: a.now(), Asset: out}, err)
}

func (a *API) asset(ctx context.Context, in *AssetParam) (*body[v1.AssetDocument], error) {
	return a.assetDocument(a.Assets.Asset(ctx, in.Asset))
}

// edited answers an edit and leaves a line in the log; old and new values are in the
// asset's history.
func (a *API) edited(ctx context.Context, what string, out v1.AssetEdited, err error) (*body[v1.AssetEdited], error) {
	out.Now, out.Changes = a.now(), nonNil(out.Changes)
	if err == nil && len(out.Changes) > 0 {
		a.Log.Info(what, "by", principal(ctx).Name, "asset", out.Asset.ID, "fields", len(out.Changes))
	}
	return answer(out, err)
}

func (a *API) addAsset(ctx context.Context, in *struct{ Body v1.AssetEdit }) (*body[v1.AssetEdited], error) {
	out, err := a.Assets.AddAsset(ctx, in.Body, principal(ctx).Name)
	return a.edited(ctx, "asset added", out, err)
}

func (a *API) editAsset(ctx context.Context, in *struct {
	AssetParam
	Body v1.AssetEdit
}) (*body[v1.AssetEdited], error) {
	if len(in.Body.Set)+len(in.Body.Unset) == 0 {
		return nil, fmt.Errorf("%w: nothing to set or unset", ErrInvalid)
	}
	out, err := a.Assets.EditAsset(ctx, in.Asset, in.Body, principal(ctx).Name)
	return a.edited(ctx, "asset changed", out, err)
}

func (a *API) lockAsset(ctx context.Context, in *struct {
	AssetParam
	Body v1.AssetLocking
}) (*body[v1.AssetDocument], error) {
	out, err := a.Assets.LockAsset(ctx, in.Asset, in.Body, principal(ctx).Name)
	if err == nil {
		a.Log.Info("asset locked", "by", principal(ctx).Name, "asset", out.ID, "fields", strings.Join(in.Body.Fields, " "), "reason", in.Body.Reason)
	}
	return a.assetDocument(out, err)
}

func (a *API) unlockAsset(ctx context.Context, in *struct {
	AssetParam
	Body v1.AssetLocking
}) (*body[v1.AssetDocument], error) {
	out, err := a.Assets.UnlockAsset(ctx, in.Asset, in.Body, principal(ctx).Name)
	if err == nil {
		a.Log.Info("asset unlocked", "by", principal(ctx).Name, "asset", out.ID, "fields", strings.Join(in.Body.Fields, " "), "reason", in.Body.Reason)
	}
	return a.assetDocument(out, err)
}

func (a *API) removeAsset(ctx context.Context, in *struct {
	AssetParam
	Body v1.RemoveRequest
}) (*body[v1.AssetDocument], error) {
	out, err := a.Assets.RemoveAsset(ctx, in.Asset, in.Body.Reason, principal(ctx).Name)
	if err == nil {
		a.Log.Info("asset removed", "by", principal(ctx).Name, "asset", out.ID, "reason", in.Body.Reason)
	}
	return a.assetDocument(out, err)
}

func (a *API) assetHistory(ctx context.Context, in *struct {
	Asset string `query:"asset" maxLength:"500" doc:"number, tag, serial number, name or host; of all when absent"`
	PageParams
}) (*body[v1.AssetHistory], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	out, err := a.Assets.AssetHistory(ctx, in.Asset, page)
	out.Now, out.Changes, out.Next = a.now(), nonNil(out.Changes), opaque(out.Next)
	return answer(out, err)
}

func (a *API) assetFields(ctx context.Context, _ *struct{}) (*body[v1.AssetFields], error) {
	fields, err := a.Assets.AssetFields(ctx)
	return answer(v1.AssetFields{Now: a.now(), Fields: nonNil(fields)}, err)
}

func (a *API) addAssetField(ctx context.Context, in *struct {
	AssetFieldParam
	Body v1.AssetFieldRequest
}) (*struct{}, error) {
	err := a.Assets.AddAssetField(ctx, in.Name, in.Body, principal(ctx).Name)
	if err == nil {
		a.Log.Info("asset field defined", "by", principal(ctx).Name, "field", in.Name, "type", in.Body.Type)
	}
	return nil, err
}

func (a *API) removeAssetField(ctx context.Context, in *AssetFieldParam) (*struct{}, error) {
	err := a.Assets.RemoveAssetField(ctx, in.Name, principal(ctx).Name)
	if err == nil {
		a.Log.Info("asset field removed", "by", principal(ctx).Name, "field", in.Name)
	}
	return nil, err
}

func (a *API) importAssets(ctx context.Context, in *struct{ Body v1.AssetImport }) (*body[v1.AssetPlan], error) {
	out, err := a.Assets.ImportAssets(ctx, in.Body, principal(ctx).Name)
	out.Now, out.Rows, out.Ignored = a.now(), nonNil(out.Rows), nonNil(out.Ignored)
	if out.Applied {
		a.Log.Info("assets imported", "by", principal(ctx).Name, "file", in.Body.File,
			"added", out.Added, "changed", out.Changed, "removed", out.Removed, "refused", out.Refused, "unchanged", out.Unchanged)
	}
	return answer(out, err)
}

func (a *API) exportAssets(w http.ResponseWriter, r *http.Request) {
	out := &startedWriter{ResponseWriter: w, contentType: "text/csv; charset=utf-8"}
	a.stream(out, "asset export failed", a.Assets.ExportAssets(r.Context(), out))
}
