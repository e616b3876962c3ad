package v1

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// SQLRequest is a read-only query over the fleet, in SQLite's dialect.
type SQLRequest struct {
	SQL     string `json:"sql,omitempty" maxLength:"65536" doc:"one SELECT; empty: the saved query"`
	Saved   string `json:"saved,omitempty" maxLength:"64" doc:"name of a saved query to run instead"`
	AsOf    string `json:"as_of,omitempty" maxLength:"64" doc:"moment of all tables that name none, as 2026-11-20T08:00:00Z or 7d; absent: now"`
	Explain bool   `json:"explain,omitempty" doc:"how it would be answered, instead of the answer"`
	MaxRows int    `json:"max_rows,omitempty" minimum:"0" maximum:"100000" doc:"more rows are an error; 0: 100,000"`
}

// SQLColumn is a column of an answer.
type SQLColumn struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty" doc:"TEXT, INTEGER or REAL, when it is a column of a table"`
}

// SQLAnswer is what a query gave.
type SQLAnswer struct {
	Now            time.Time    `json:"now"`
	AsOf           time.Time    `json:"as_of,omitzero"`
	Columns        []SQLColumn  `json:"columns"`
	Rows           [][]any      `json:"rows" doc:"null, number or string in the order of columns; whole numbers have up to 64 bits"`
	Scanned        int64        `json:"scanned" doc:"rows that were looked at"`
	ElapsedSeconds float64      `json:"elapsed_seconds"`
	Unknown        []SQLUnknown `json:"unknown,omitempty" doc:"sections that were read and are not completely known on some hosts: what these did not tell counts as absent"`
	Remarks        []SQLRemark  `json:"remarks,omitempty" doc:"functions that were given values they cannot read: NULL was the result"`
}

// UnmarshalJSON implements json.Unmarshaler: numbers stay as they are written, for those
// above 2^53 are no float64.
func (a *SQLAnswer) UnmarshalJSON(b []byte) error {
	type plain SQLAnswer
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode((*plain)(a))
}

// SQLRemark says of a function how often it could not read a value, which then gave NULL.
type SQLRemark struct {
	Function string `json:"function"`
	Null     int64  `json:"null" doc:"calls that gave NULL for it"`
	Of       int64  `json:"of" doc:"calls"`
	Example  string `json:"example"`
}

// SQLUnknown is a section that a query asked for and that some hosts did not tell
// completely: they may have such rows.
type SQLUnknown struct {
	Section  string           `json:"section"`
	AsOf     time.Time        `json:"as_of,omitzero" doc:"the moment of the table, where it is not that of the query"`
	Hosts    int              `json:"hosts" doc:"on which it is not completely known"`
	Of       int              `json:"of" doc:"hosts that the query asked about"`
	Statuses []SQLStatusCount `json:"statuses" doc:"most hosts first"`
}

// SQLStatusCount counts hosts by the status of their last reading.
type SQLStatusCount struct {
	Status string `json:"status" doc:"partial, denied, failed or not reported"`
	Hosts  int    `json:"hosts"`
}

// SQLTable is a table that queries may name.
type SQLTable struct {
	Name     string           `json:"name"`
	Doc      string           `json:"doc"`
	Past     bool             `json:"past" doc:"takes a moment: TABLE('2026-11-20')"`
	Personal bool             `json:"personal,omitempty" doc:"may hold personal data"`
	Columns  []SQLTableColumn `json:"columns"`
}

// SQLTableColumn is a column of a table.
type SQLTableColumn struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Doc  string `json:"doc,omitempty"`
	Key  bool   `json:"key,omitempty" doc:"rows are found by it without looking at all"`
}

// SQLFunction is a function beside SQLite's own.
type SQLFunction struct {
	Usage string `json:"usage"`
	Doc   string `json:"doc"`
}

// SQLSchema is all that queries may name.
type SQLSchema struct {
	Tables    []SQLTable    `json:"tables"`
	Functions []SQLFunction `json:"functions"`
}

// SavedQuery is a query that people keep under a name.
type SavedQuery struct {
	Name    string    `json:"name"`
	SQL     string    `json:"sql"`
	Note    string    `json:"note,omitempty"`
	SavedBy string    `json:"saved_by,omitempty"`
	SavedAt time.Time `json:"saved_at,omitzero"`
}

// SaveQuery is what is saved.
type SaveQuery struct {
	SQL  string `json:"sql" minLength:"1" maxLength:"65536"`
	Note string `json:"note,omitempty" maxLength:"200" doc:"what it is for; empty: that of the query that is replaced"`
	// Replace lets it take the place of another.
	Replace bool `json:"replace,omitempty" doc:"replace the query of this name; without, that is a conflict"`
}

// SavedQueries is the list of them, by name.
type SavedQueries struct {
	Now     time.Time    `json:"now"`
	Queries []SavedQuery `json:"queries"`
}

// SQL runs a query.
func (c *Client) SQL(ctx context.Context, r SQLRequest) (SQLAnswer, error) {
	return post[SQLAnswer](ctx, c, "sql", r)
}

// SQLSchema returns the tables and functions of queries.
func (c *Client) SQLSchema(ctx context.Context) (SQLSchema, error) {
	return fetch[SQLSchema](ctx, c, "sql/schema", nil)
}

// SavedQueries lists the saved queries.
func (c *Client) SavedQueries(ctx context.Context) (SavedQueries, error) {
	return fetch[SavedQueries](ctx, c, "sql/saved", nil)
}

// SaveQuery keeps a query under a name.
func (c *Client) SaveQuery(ctx context.Context, name string, q SaveQuery) error {
	return c.call(ctx, http.MethodPut, "sql/saved/"+segment(name), nil, q, nil)
}

// ForgetQuery takes a saved query away.
func (c *Client) ForgetQuery(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, "sql/saved/"+segment(name), nil, nil, nil)
}
