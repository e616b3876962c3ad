package v1

import (
	"errors"
	"fmt"
	"strings"
)

// Problem is an error document (RFC 9457, application/problem+json).
type Problem struct {
	Type   string          `json:"type" doc:"always about:blank; code tells kinds apart"`
	Title  string          `json:"title"`
	Status int             `json:"status"`
	Code   string          `json:"code,omitempty" doc:"kind of the problem, for programs"`
	Detail string          `json:"detail,omitempty" doc:"what happened and what to do, for people"`
	Errors []ProblemDetail `json:"errors,omitempty" doc:"which part of the request is wrong"`
}

// ProblemDetail names a wrong part of a request.
type ProblemDetail struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty"`
}

// The codes of problems that clients tell apart.
const (
	CodeNotFound     = "not_found"
	CodeInvalid      = "invalid"
	CodeConflict     = "conflict"
	CodeUnauthorised = "unauthorised" // no valid token
	CodeForbidden    = "forbidden"    // the token's role does not allow it
	CodeBusy         = "busy"
	CodeSpace        = "space" // the collector's disk is full
	CodeLimit        = "limit" // the request went over a limit
	CodeTimeout      = "timeout"
	CodeInternal     = "internal"
	// CodeUnavailable has an answer in Prometheus' form in the place of CodeBusy.
	CodeUnavailable = "unavailable"
)

// Error is a refusal by the collector.
type Error struct{ Problem Problem }

// Error implements error: the detail and the parts that are wrong, in one line.
func (e *Error) Error() string {
	text := e.Problem.Detail
	if text == "" {
		text = fmt.Sprintf("the collector answered %d %s", e.Problem.Status, e.Problem.Title)
	}
	var parts []string
	for _, d := range e.Problem.Errors {
		parts = append(parts, strings.TrimPrefix(d.Location+": "+d.Message, ": "))
	}
	if len(parts) > 0 {
		text += " (" + strings.Join(parts, "; ") + ")"
	}
	return text
}

// IsCode reports whether err is a refusal of the given kind.
func IsCode(err error, code string) bool {
	var e *Error
	return errors.As(err, &e) && e.Problem.Code == code
}
