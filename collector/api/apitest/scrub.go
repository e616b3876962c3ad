package apitest

import (
	"context"

	"atalaya/collector/api/v1"
)

// Scrub implements api.Operations: it finds what Found says.
func (f *Fleet) Scrub(context.Context) (v1.Scrub, error) { return f.Found, f.failure() }
