package api

import (
	"cmp"
	"context"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/query"
)

// sqlBackend fits package query to Queries.
type sqlBackend struct{ Sources }

// SQL implements Queries.
func (b sqlBackend) SQL(ctx context.Context, r v1.SQLRequest, asOf time.Time) (out v1.SQLAnswer, err error) {
	if r.Saved != "" {
		saved, err := b.Queries.Saved(r.Saved)
		if err != nil {
			return out, classify(err)
		}
		r.SQL = saved.SQL
	}
	a, err := b.Queries.Run(ctx, query.Request{SQL: r.SQL, Caller: principal(ctx).Name, AsOf: asOf, Explain: r.Explain, Limits: query.Limits{Rows: r.MaxRows}})
	if err != nil {
		return out, classify(err)
	}
	for _, c := range a.Columns {
		out.Columns = append(out.Columns, v1.SQLColumn{Name: c.Name, Type: c.Type})
	}
	for _, u := range a.Unknown {
		unknown := v1.SQLUnknown{Section: u.Section, AsOf: u.AsOf, Hosts: u.Hosts, Of: u.Of}
		for _, c := range u.ByState {
			unknown.Statuses = append(unknown.Statuses, v1.SQLStatusCount{Status: c.Status, Hosts: c.Hosts})
		}
		out.Unknown = append(out.Unknown, unknown)
	}
	for _, r := range a.Remarks {
		out.Remarks = append(out.Remarks, v1.SQLRemark(r))
	}
	out.Rows, out.Scanned, out.ElapsedSeconds = a.Rows, a.Scanned, a.Elapsed.Seconds()
	return out, nil
}

// SQLSchema implements Queries.
func (b sqlBackend) SQLSchema() (out v1.SQLSchema) {
	for _, t := range b.Queries.Tables() {
		table := v1.SQLTable{Name: t.Name, Doc: t.Doc, Past: t.Past, Personal: t.Personal}
		for _, c := range t.Columns {
			table.Columns = append(table.Columns, v1.SQLTableColumn{Name: c.Name, Type: c.Type, Doc: c.Doc, Key: c.Key})
		}
		out.Tables = append(out.Tables, table)
	}
	for _, f := range query.Functions() {
		out.Functions = append(out.Functions, v1.SQLFunction{Usage: f.Usage, Doc: f.Doc})
	}
	return out
}

// SavedQueries implements Queries.
func (b sqlBackend) SavedQueries() (out []v1.SavedQuery, err error) {
	list, err := b.Queries.AllSaved()
	for _, s := range list {
		out = append(out, v1.SavedQuery{Name: s.Name, SQL: s.SQL, Note: s.Note, SavedBy: s.By, SavedAt: s.At})
	}
	return out, classify(err)
}

// SaveQuery implements Queries.
func (b sqlBackend) SaveQuery(ctx context.Context, q v1.SavedQuery, replace bool) error {
	return classify(b.Queries.Save(ctx, query.Saved{Name: q.Name, SQL: q.SQL, Note: q.Note, By: cmp.Or(q.SavedBy, "unknown")}, replace))
}

// ForgetQuery implements Queries.
func (b sqlBackend) ForgetQuery(name string) error { return classify(b.Queries.Forget(name)) }
