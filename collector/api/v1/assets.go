package v1

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Asset is what is declared of a thing that is owned, beside what its host observes. A
// host of which nothing is declared is an asset without a number.
type Asset struct {
	ID        string               `json:"id,omitempty" doc:"number, as A12"`
	HostID    string               `json:"host_id,omitempty" doc:"host that it is"`
	Host      string               `json:"host,omitempty"`
	HostGone  bool                 `json:"host_removed,omitempty" doc:"the host was removed from the fleet"`
	Fields    map[string]string    `json:"fields" doc:"what is declared, by field"`
	Locks     map[string]AssetLock `json:"locks,omitempty" doc:"by field"`
	AddedAt   time.Time            `json:"added_at,omitzero"`
	ChangedAt time.Time            `json:"changed_at,omitzero"`
	ChangedBy string               `json:"changed_by,omitempty"`
	Observed  map[string]string    `json:"observed,omitempty" doc:"what the host says of the same; only of a single asset"`
	Differs   []string             `json:"differs,omitempty" doc:"fields in which the host says something else"`
}

// AssetLock says who locked a field, when and why.
type AssetLock struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// AssetPage is a part of the assets.
type AssetPage struct {
	Now    time.Time `json:"now"`
	Assets []Asset   `json:"assets"`
	Next   string    `json:"next,omitempty"`
}

// AssetQuery selects assets. Where and Before hold texts of the form FIELD=VALUE.
type AssetQuery struct {
	Where      []string
	Before     []string
	Tag        string
	Undeclared bool
	Page
}

// AssetDocument is one asset.
type AssetDocument struct {
	Now   time.Time `json:"now"`
	Asset Asset     `json:"asset"`
}

// AssetEdit asks for a change of an asset.
type AssetEdit struct {
	Set    map[string]string `json:"set,omitempty" doc:"values by field"`
	Unset  []string          `json:"unset,omitempty" maxItems:"200" doc:"fields whose values are taken away"`
	Reason string            `json:"reason,omitempty" maxLength:"200"`
}

// AssetEdited is an asset after an edit, with what the edit changed.
type AssetEdited struct {
	Now     time.Time          `json:"now"`
	Asset   Asset              `json:"asset"`
	Changes []AssetFieldChange `json:"changes"`
}

// AssetFieldChange is what became of a field; an absent value is not declared.
type AssetFieldChange struct {
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

// AssetLocking names fields to lock or unlock.
type AssetLocking struct {
	Fields []string `json:"fields" minItems:"1" maxItems:"200"`
	Reason string   `json:"reason,omitempty" maxLength:"200"`
}

// AssetHistory are changes of asset records, newest first.
type AssetHistory struct {
	Now     time.Time     `json:"now"`
	Changes []AssetChange `json:"changes"`
	Next    string        `json:"next,omitempty"`
}

// AssetChange is what one edit did to one asset.
type AssetChange struct {
	Seq    uint64             `json:"seq"`
	Asset  string             `json:"asset,omitempty" doc:"number; absent: a custom field was defined or forgotten"`
	At     time.Time          `json:"at"`
	By     string             `json:"by"`
	Kind   string             `json:"kind" enum:"added,changed,removed,locked,unlocked,defined,forgotten"`
	Note   string             `json:"note,omitempty" doc:"reason, or the file of an import"`
	Fields []AssetFieldChange `json:"fields"`
}

// AssetField is a property that assets may have.
type AssetField struct {
	Name    string   `json:"name"`
	Type    string   `json:"type"`
	Doc     string   `json:"doc,omitempty"`
	Choices []string `json:"choices,omitempty"`
	Custom  bool     `json:"custom"`
}

// AssetFields are all of them, the built-in ones first.
type AssetFields struct {
	Now    time.Time    `json:"now"`
	Fields []AssetField `json:"fields"`
}

// AssetFieldRequest defines a custom field.
type AssetFieldRequest struct {
	Type    string   `json:"type" enum:"text,number,date,choice,bool"`
	Doc     string   `json:"doc,omitempty" maxLength:"200"`
	Choices []string `json:"choices,omitempty" maxItems:"100"`
}

// AssetImport is a CSV file and what to do with it.
type AssetImport struct {
	Content       []byte            `json:"content" doc:"the file, in base64"`
	File          string            `json:"file,omitempty" maxLength:"200" doc:"its name, for the history"`
	Separator     string            `json:"separator,omitempty" maxLength:"1" doc:"found out when absent"`
	Key           string            `json:"key,omitempty" doc:"field by which rows find their assets: asset_tag (default), serial or name"`
	Map           map[string]string `json:"map,omitempty" doc:"fields of columns that are called otherwise; - leaves one out"`
	Currency      string            `json:"currency,omitempty" doc:"of amounts without one"`
	ClearEmpty    bool              `json:"clear_empty,omitempty" doc:"an empty cell takes the value away"`
	DeleteMissing bool              `json:"delete_missing,omitempty" doc:"remove assets that have the key and no row"`
	SkipRefused   bool              `json:"skip_refused,omitempty" doc:"apply the other rows when some are refused"`
	Apply         bool              `json:"apply,omitempty" doc:"absent: only a preview"`
}

// AssetPlan is what an import did, or would do.
type AssetPlan struct {
	Now       time.Time      `json:"now"`
	Applied   bool           `json:"applied"`
	Added     int            `json:"added"`
	Changed   int            `json:"changed"`
	Unchanged int            `json:"unchanged"`
	Removed   int            `json:"removed"`
	Refused   int            `json:"refused"`
	Linked    int            `json:"linked" doc:"assets that found their hosts"`
	Separator string         `json:"separator"`
	Ignored   []string       `json:"ignored" doc:"columns that were left out"`
	Rows      []AssetPlanRow `json:"rows" doc:"what changes or is refused; 2000 at most, refused ones first"`
	More      int            `json:"more,omitempty" doc:"rows that are not shown"`
}

// AssetPlanRow is what becomes of one row.
type AssetPlanRow struct {
	Line   int                `json:"line,omitempty" doc:"in the file; absent: the file lacks the asset"`
	Action string             `json:"action" enum:"added,changed,removed,refused"`
	Asset  string             `json:"asset,omitempty"`
	Label  string             `json:"label,omitempty"`
	Fields []AssetFieldChange `json:"fields,omitempty"`
	Reason string             `json:"reason,omitempty"`
}

// AssetFieldTypes are the types of custom fields.
func AssetFieldTypes() []string { return []string{"text", "number", "date", "choice", "bool"} }

// Assets lists assets, and hosts of which nothing is declared.
func (c *Client) Assets(ctx context.Context, q AssetQuery) (AssetPage, error) {
	v := values{}.set("tag", q.Tag).flag("undeclared", q.Undeclared).page(q.Page)
	for _, w := range q.Where {
		v.Add("where", w)
	}
	for _, w := range q.Before {
		v.Add("before", w)
	}
	return fetch[AssetPage](ctx, c, "assets", v)
}

// Asset returns one asset by number, tag, serial number, name or host.
func (c *Client) Asset(ctx context.Context, ref string) (AssetDocument, error) {
	return fetch[AssetDocument](ctx, c, "assets/"+segment(ref), nil)
}

// AddAsset makes an asset.
func (c *Client) AddAsset(ctx context.Context, e AssetEdit) (AssetEdited, error) {
	return post[AssetEdited](ctx, c, "assets", e)
}

// EditAsset changes an asset.
func (c *Client) EditAsset(ctx context.Context, ref string, e AssetEdit) (AssetEdited, error) {
	return post[AssetEdited](ctx, c, "assets/"+segment(ref)+"/edit", e)
}

// LockAsset keeps fields from edits and imports; UnlockAsset ends that.
func (c *Client) LockAsset(ctx context.Context, ref string, l AssetLocking) (AssetDocument, error) {
	return post[AssetDocument](ctx, c, "assets/"+segment(ref)+"/lock", l)
}

// UnlockAsset ends locks.
func (c *Client) UnlockAsset(ctx context.Context, ref string, l AssetLocking) (AssetDocument, error) {
	return post[AssetDocument](ctx, c, "assets/"+segment(ref)+"/unlock", l)
}

// RemoveAsset takes a record away; its history stays.
func (c *Client) RemoveAsset(ctx context.Context, ref, reason string) (AssetDocument, error) {
	return post[AssetDocument](ctx, c, "assets/"+segment(ref)+"/remove", RemoveRequest{Reason: reason})
}

// AssetHistory lists changes of an asset, or of all where ref is empty.
func (c *Client) AssetHistory(ctx context.Context, ref string, p Page) (AssetHistory, error) {
	return fetch[AssetHistory](ctx, c, "asset-history", values{}.set("asset", ref).page(p))
}

// AssetFields lists the fields that assets may have.
func (c *Client) AssetFields(ctx context.Context) (AssetFields, error) {
	return fetch[AssetFields](ctx, c, "asset-fields", nil)
}

// AddAssetField defines a custom field.
func (c *Client) AddAssetField(ctx context.Context, name string, f AssetFieldRequest) error {
	return c.call(ctx, http.MethodPut, "asset-fields/"+segment(name), nil, f, nil)
}

// RemoveAssetField takes a custom field away that no asset has a value in.
func (c *Client) RemoveAssetField(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "asset-fields/"+segment(name), nil, nil, nil)
}

// ImportAssets compares a file with the records, and makes them so where it says Apply.
func (c *Client) ImportAssets(ctx context.Context, in AssetImport) (AssetPlan, error) {
	return post[AssetPlan](ctx, c, "asset-import", in)
}

// ExportAssets writes all assets as a CSV file that ImportAssets takes back.
func (c *Client) ExportAssets(ctx context.Context, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, "asset-export", url.Values{}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // only read
	_, err = io.Copy(w, resp.Body)
	return err
}
