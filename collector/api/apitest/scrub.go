package apitest

import (
	"context"

	"atalaya/collector/api/v1"
)

// SetFound changes what a scrub finds, also while the API serves.
func (f *Fleet) SetFound(change func(*v1.Scrub)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.Found)
}

// Scrub implements api.Operations: it finds what Found says.
func (f *Fleet) Scrub(context.Context) (v1.Scrub, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.Found, f.fail
}
