package api

import (
	"context"
	"errors"
	"maps"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"atalaya/collector/api/v1"
	"atalaya/collector/auth"
)

// The kinds of errors that backends return and clients can act on. The text of an
// error of these kinds reaches the client; that of any other does not.
var (
	ErrNotFound = errors.New("not found")
	ErrInvalid  = errors.New("invalid request")
	ErrConflict = errors.New("conflict")
	ErrTooMuch  = errors.New("the request asks too much")
	ErrSpace    = errors.New("no space is left")
	ErrBusy     = errors.New("the collector is busy: try again in a moment")
	ErrShare    = errors.New("too many requests at once: wait until one has ended")
)

var (
	errUnauthorised = errors.New("this needs a token: `atalaya token create --role reader` on the collector makes one")
	errForbidden    = errors.New("the role of this token does not allow this")
	errNoMethod     = errors.New("this method is not allowed here")
	errTooLarge     = errors.New("the request is too large")
	errType         = errors.New("the content type must be application/json")
)

// problemTable is the one place where kinds of errors become HTTP problems.
// The first row that matches counts.
var problemTable = []struct {
	kind   error
	status int
	code   string
}{
	{errUnauthorised, http.StatusUnauthorized, v1.CodeUnauthorised},
	{auth.ErrBadToken, http.StatusUnauthorized, v1.CodeUnauthorised},
	{errForbidden, http.StatusForbidden, v1.CodeForbidden},
	{auth.ErrNotLocalAdmin, http.StatusForbidden, v1.CodeForbidden},
	{ErrNotFound, http.StatusNotFound, v1.CodeNotFound},
	{auth.ErrNoToken, http.StatusNotFound, v1.CodeNotFound},
	{errNoMethod, http.StatusMethodNotAllowed, v1.CodeInvalid},
	{errTooLarge, http.StatusRequestEntityTooLarge, v1.CodeInvalid},
	{errType, http.StatusUnsupportedMediaType, v1.CodeInvalid},
	{ErrInvalid, http.StatusUnprocessableEntity, v1.CodeInvalid},
	{auth.ErrInvalid, http.StatusUnprocessableEntity, v1.CodeInvalid},
	{errPageCursor, http.StatusUnprocessableEntity, v1.CodeInvalid},
	{ErrTooMuch, http.StatusUnprocessableEntity, v1.CodeLimit},
	{ErrConflict, http.StatusConflict, v1.CodeConflict},
	{ErrSpace, http.StatusInsufficientStorage, v1.CodeSpace},
	{ErrBusy, http.StatusServiceUnavailable, v1.CodeBusy},
	{ErrShare, http.StatusTooManyRequests, v1.CodeBusy},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, v1.CodeTimeout},
	{context.Canceled, http.StatusServiceUnavailable, v1.CodeTimeout},
}

// problem is an error as huma and the guard write it. cause stays inside.
type problem struct {
	v1.Problem
	cause error
}

// Error implements error.
func (p *problem) Error() string { return p.cause.Error() }

// Unwrap gives the cause to the log.
func (p *problem) Unwrap() error { return p.cause }

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (*problem) ContentType(string) string { return "application/problem+json" }

// busyTime is after how many seconds a client may try again what was refused as busy.
const busyTime = "3"

// GetHeaders implements huma.HeadersError.
func (p *problem) GetHeaders() http.Header {
	if p.Code != v1.CodeBusy {
		return nil
	}
	return http.Header{"Retry-After": {busyTime}}
}

// problemOf finds the problem for an error. What is not in the table is our own
// failure: its text may hold paths and inner names and stays in the log.
func problemOf(err error) *problem {
	var known *problem
	if errors.As(err, &known) {
		return known
	}
	for _, row := range problemTable {
		if errors.Is(err, row.kind) {
			return newProblem(row.status, row.code, err.Error(), err)
		}
	}
	return newProblem(http.StatusInternalServerError, v1.CodeInternal,
		"the collector could not answer; its log says why", err)
}

func newProblem(status int, code, detail string, cause error) *problem {
	return &problem{cause: cause, Problem: v1.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail,
	}}
}

// unifyProblem gives the errors that huma itself finds (wrong parameters, wrong
// bodies) the same form as ours, without the values that the caller sent.
func (a *API) unifyProblem(ctx huma.Context, _ string, v any) (any, error) {
	switch e := v.(type) {
	case *problem:
		a.guard.failed(ctx.Method(), ctx.URL().Path, e)
		return e.Problem, nil
	case *huma.ErrorModel:
		code := v1.CodeInvalid
		if e.Status >= http.StatusInternalServerError {
			code = v1.CodeInternal
		}
		p := newProblem(e.Status, code, e.Detail, e)
		for _, d := range e.Errors {
			p.Errors = append(p.Errors, v1.ProblemDetail{Message: d.Message, Location: d.Location})
		}
		return p.Problem, nil
	}
	return v, nil
}

// writeProblem writes a problem outside of huma.
func writeProblem(w http.ResponseWriter, p *problem) {
	b, err := v1.Encode(p.Problem, "")
	if err != nil { // strings and numbers always encode
		http.Error(w, http.StatusText(p.Status), p.Status)
		return
	}
	maps.Copy(w.Header(), p.GetHeaders())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	w.Write(b) // a client that went away needs no answer
}
