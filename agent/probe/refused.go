package probe

import (
	"errors"
	"io/fs"
	"strings"
	"sync"
)

// refusals are the files and folders that one run of a probe met and could not read for
// want of rights, or because they were damaged. Most probes say so where it matters; the
// rest is caught here, so that a section never looks as if all had been seen.
type refusals struct {
	mu   sync.Mutex // guards list
	list []*fs.PathError
}

// maxRefusals is how many are remembered of one run.
const maxRefusals = 16

// note remembers err if it is a refusal, and returns it. Processes come, go and are
// protected: what is refused of them counts only where the probe says so.
func (r *refusals) note(err error) error {
	if err == nil || !errors.Is(err, fs.ErrPermission) && !errors.Is(err, ErrNUL) {
		return err
	}
	if p := (*fs.PathError)(nil); errors.As(err, &p) && !ofProcess(p.Path) {
		r.mu.Lock()
		if len(r.list) < maxRefusals {
			r.list = append(r.list, p)
		}
		r.mu.Unlock()
	}
	return err
}

// ofProcess reports whether a path leads through the folder of a process.
func ofProcess(name string) bool {
	_, rest, ok := strings.Cut(name, "/proc/")
	return ok && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

// take returns what was noted and begins anew.
func (r *refusals) take() []*fs.PathError {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

// refuse notes what the run was refused.
func (r *Report) refuse(list []*fs.PathError) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.refused = list
	}
}

// untoldLocked is the first refusal that neither a problem nor a remark names, nil if there is none.
func (r *Report) untoldLocked() error {
	for _, refused := range r.refused {
		told := false
		for _, problem := range r.problems {
			told = told || strings.Contains(problem.Error(), refused.Path)
		}
		for _, remark := range r.remarks {
			told = told || strings.Contains(remark, refused.Path)
		}
		if !told {
			return refused
		}
	}
	return nil
}
