package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
)

func (a *API) adminRoutes(routes huma.API) {
	get(routes, "/api/v1/status", "get-status", "How the collector is", a.status)
	get(routes, "/api/v1/tokens", "list-tokens", "List tokens, newest first; never their secrets", a.tokens)
	register(routes, http.MethodPost, "/api/v1/tokens", "create-token", "Create a token; its secret is shown this once", http.StatusCreated, a.createToken)
	register(routes, http.MethodDelete, "/api/v1/tokens/{id}", "revoke-token", "Make a token worthless", http.StatusNoContent, a.revokeToken)
	register(routes, http.MethodPost, "/api/v1/hosts/{host}/revoke", "revoke-host", "Refuse a host's certificate from now on", http.StatusOK, a.revokeHost)
	register(routes, http.MethodPost, "/api/v1/scrub", "scrub", "Verify the whole state file and mend what can be mended", http.StatusOK, a.scrub)
	a.guard.HandleFunc("GET /api/v1/backup", a.backup)
	describe(routes, "/api/v1/backup", "backup", "A consistent copy of the collector's state, as a file", "application/octet-stream")
}

// describe adds a route that huma does not serve to the OpenAPI document.
func describe(routes huma.API, path, id, summary, contentType string, params ...*huma.Param) {
	routes.OpenAPI().AddOperation(&huma.Operation{
		Method: http.MethodGet, Path: path, OperationID: id, Summary: summary, Parameters: params,
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{contentType: {}},
		}},
	})
}

func (a *API) status(ctx context.Context, _ *struct{}) (*body[v1.Status], error) {
	out, err := a.Operations.Status(ctx)
	out.Now = a.now()
	return answer(out, err)
}

func (a *API) tokens(ctx context.Context, _ *struct{}) (*body[v1.TokenList], error) {
	tokens, err := a.Operations.Tokens(ctx)
	return answer(v1.TokenList{Now: a.now(), Tokens: nonNil(tokens)}, err)
}

func (a *API) createToken(ctx context.Context, in *struct{ Body v1.TokenRequest }) (*body[v1.NewToken], error) {
	r := in.Body
	switch {
	case r.Kind == v1.TokenAPI && r.Role == "":
		return nil, fmt.Errorf("%w: a token for the API needs a role", ErrInvalid)
	case r.Kind == v1.TokenAPI && r.Count > 1:
		return nil, fmt.Errorf("%w: tokens for the API are made one by one", ErrInvalid)
	case r.Kind == v1.TokenAPI && r.Address != "":
		return nil, fmt.Errorf("%w: only a token for enrolment carries an address", ErrInvalid)
	case r.Kind == v1.TokenEnrol && r.Role != "":
		return nil, fmt.Errorf("%w: a token for enrolment has no role", ErrInvalid)
	}
	out, err := a.Operations.CreateToken(ctx, r)
	if err == nil {
		a.Log.Info("token created", "by", principal(ctx).Name, "token", out.ID, "kind", out.Kind, "role", out.Role, "count", 1+len(out.More))
	}
	return answer(out, err)
}

func (a *API) revokeToken(ctx context.Context, in *struct {
	ID string `path:"id" minLength:"1" maxLength:"128"`
}) (*struct{}, error) {
	if err := a.Operations.RevokeToken(ctx, in.ID); err != nil {
		return nil, err
	}
	a.Log.Info("token revoked", "by", principal(ctx).Name, "token", in.ID)
	return nil, nil
}

func (a *API) revokeHost(ctx context.Context, in *HostParam) (*body[v1.Revocation], error) {
	out, err := a.Operations.RevokeHost(ctx, in.Host)
	if err == nil {
		a.Log.Info("host revoked", "by", principal(ctx).Name, "host", out.HostID)
	}
	return answer(out, err)
}

func (a *API) scrub(ctx context.Context, _ *struct{}) (*body[v1.Scrub], error) {
	out, err := a.Operations.Scrub(ctx)
	out.Now, out.Damage, out.AskedAgain = a.now(), nonNil(out.Damage), nonNil(out.AskedAgain)
	if err == nil {
		a.Log.Info("state file verified", "by", principal(ctx).Name, "findings", out.Count, "mended", out.Mended, "asked_again", out.AskedCount)
	}
	return answer(out, err)
}

// backup streams the state. A failure after the first byte cuts the connection, so
// that the client cannot take a part for the whole.
func (a *API) backup(w http.ResponseWriter, r *http.Request) {
	out := &startedWriter{ResponseWriter: w, contentType: "application/octet-stream"}
	if a.stream(out, "backup failed", a.Operations.Backup(r.Context(), out)) {
		a.Log.Info("backup taken", "by", principal(r.Context()).Name)
	}
}

// stream ends an answer that was streamed, and reports whether it is whole.
func (a *API) stream(out *startedWriter, failure string, err error) bool {
	if err == nil {
		return true
	}
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		a.Log.Error(failure, "err", err)
	}
	if out.started {
		panic(http.ErrAbortHandler)
	}
	writeProblem(out.ResponseWriter, p)
	return false
}

// startedWriter sets the content type of an answer with its first byte.
type startedWriter struct {
	http.ResponseWriter
	contentType string
	started     bool
}

// Write implements io.Writer.
func (w *startedWriter) Write(b []byte) (int, error) {
	if !w.started {
		w.started = true
		w.Header().Set("Content-Type", w.contentType)
	}
	return w.ResponseWriter.Write(b)
}
