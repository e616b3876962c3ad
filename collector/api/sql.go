package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

// Queries answers SQL. What is wrong with a query is ErrInvalid, one that went over a
// limit ErrTooMuch.
type Queries interface {
	// SQL answers as of a moment; zero: now. It is the one of the request.
	SQL(ctx context.Context, r v1.SQLRequest, asOf time.Time) (v1.SQLAnswer, error)
	SQLSchema() v1.SQLSchema
	SavedQueries() ([]v1.SavedQuery, error)
	SaveQuery(ctx context.Context, q v1.SavedQuery, replace bool) error
	ForgetQuery(name string) error
}

// SavedParam names a saved query.
type SavedParam struct {
	Name string `path:"name" minLength:"1" maxLength:"64"`
}

func (a *API) sqlRoutes(routes huma.API) {
	register(routes, http.MethodPost, "/api/v1/sql", "sql", "Answer a read-only SQL query over the fleet", http.StatusOK, a.sql)
	get(routes, "/api/v1/sql/schema", "sql-schema", "Tables and functions of SQL queries", a.sqlSchema)
	get(routes, "/api/v1/sql/saved", "list-saved-queries", "List saved queries", a.savedQueries)
	register(routes, http.MethodPut, "/api/v1/sql/saved/{name}", "save-query", "Keep a query under a name", http.StatusNoContent, a.saveQuery)
	register(routes, http.MethodDelete, "/api/v1/sql/saved/{name}", "forget-query", "Take a saved query away", http.StatusNoContent, a.forgetQuery)
}

func (a *API) sql(ctx context.Context, in *struct{ Body v1.SQLRequest }) (*body[v1.SQLAnswer], error) {
	if (in.Body.SQL == "") == (in.Body.Saved == "") {
		return nil, fmt.Errorf("%w: want either sql or saved", ErrInvalid)
	}
	asOf, err := a.past("as_of", in.Body.AsOf, v1.ParseState)
	if err != nil {
		return nil, err
	}
	out, err := a.Queries.SQL(ctx, in.Body, asOf)
	out.Now, out.AsOf, out.Columns, out.Rows = a.now(), asOf, nonNil(out.Columns), nonNil(out.Rows)
	return answer(out, err)
}

func (a *API) sqlSchema(context.Context, *struct{}) (*body[v1.SQLSchema], error) {
	return answer(a.Queries.SQLSchema(), nil)
}

func (a *API) savedQueries(context.Context, *struct{}) (*body[v1.SavedQueries], error) {
	list, err := a.Queries.SavedQueries()
	return answer(v1.SavedQueries{Now: a.now(), Queries: nonNil(list)}, err)
}

func (a *API) saveQuery(ctx context.Context, in *struct {
	SavedParam
	Body v1.SaveQuery
}) (*struct{}, error) {
	by := principal(ctx).Name
	return nil, a.Queries.SaveQuery(ctx, v1.SavedQuery{Name: in.Name, SQL: in.Body.SQL, Note: in.Body.Note, SavedBy: by}, in.Body.Replace)
}

func (a *API) forgetQuery(_ context.Context, in *SavedParam) (*struct{}, error) {
	return nil, a.Queries.ForgetQuery(in.Name)
}
