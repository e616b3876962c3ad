package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"atalaya/shared/facts"
)

// Why something that is there cannot be read.
var (
	errLoop   = errors.New("too many symbolic links")
	errMany   = fmt.Errorf("more than %d entries", defaultMaxEntries)
	errNoFile = errors.New("not a regular file")
	errPipe   = errors.New("a pipe or socket, where a file or folder should be")
	errDevice = errors.New("a device, not a regular file") // a link to /dev/null is how a file is masked
)

// ErrEmpty is the error of a file that has nothing in it and always should.
var ErrEmpty = errors.New("damaged: it is empty")

// neverEmpty are files of the kernel that always have something in them: a name, a table
// with a heading.
var neverEmpty = map[string]bool{
	"/proc/cpuinfo": true, "/proc/meminfo": true, "/proc/stat": true, "/proc/swaps": true,
	"/proc/net/tcp": true, "/proc/net/tcp6": true, "/proc/net/udp": true, "/proc/net/udp6": true, "/proc/net/arp": true,
	"/proc/sys/kernel/osrelease": true, "/proc/sys/kernel/version": true, "/proc/sys/kernel/hostname": true,
}

// refusals are the files and folders that one run of a probe met and could not read: for
// want of rights, because they were damaged, or because something else lies in their place.
// Most probes say so where it matters; the rest is caught here, so that a section never
// looks as if all had been seen.
type refusals struct {
	mu   sync.Mutex // guards all
	list []refusal
	met  int // also those beyond maxRefusals and those in the list already
}

// refusal is what could not be read and of which section it is, 0 for any.
type refusal struct {
	about facts.ID
	*fs.PathError
}

// maxRefusals is how many are remembered of one run.
const maxRefusals = 32

// note remembers err if it says that name is there and cannot be read, and returns it with
// the name as the machine has it. Processes come, go and are protected: what is refused of
// them counts only where the probe says so.
func (h *Host) note(op, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EINVAL) {
		if pipe := h.pipeIn(name); pipe != "" {
			name, err = pipe, errPipe
		}
	}
	if h.within != "" {
		name = path.Join(h.within, name)
	}
	p, ok := err.(*fs.PathError)
	if !ok {
		p = &fs.PathError{Op: op, Path: name, Err: err}
	} else if p.Path != name {
		p = &fs.PathError{Op: p.Op, Path: name, Err: p.Err}
	}
	if !ofProcess(name) && h.unreadable(name, p.Err) {
		h.refused.add(refusal{h.about, p})
	}
	return p
}

// pipeIn is the pipe or socket that lies in the way of a path, "" if none does.
func (h *Host) pipeIn(name string) string {
	at, err := h.resolve(name, true)
	for ; err == nil && len(at) > len(h.root)+1; at = filepath.Dir(at) {
		if info, err := os.Lstat(at); err == nil {
			if isPipe(info.Mode()) {
				return filepath.ToSlash(at[len(h.root):])
			}
			return ""
		}
	}
	return ""
}

func isPipe(mode fs.FileMode) bool { return mode&(fs.ModeNamedPipe|fs.ModeSocket) != 0 }

// unreadable reports whether err is not one that tells that there is no such thing. Many
// files of a running kernel answer with an error that means they have nothing to tell.
func (h *Host) unreadable(name string, err error) bool {
	for _, damage := range []error{fs.ErrPermission, ErrNUL, ErrEmpty, errNoFile, errPipe, errLoop, syscall.ELOOP} {
		if errors.Is(err, damage) {
			return true
		}
	}
	for _, absent := range []error{fs.ErrNotExist, errors.ErrUnsupported, errDevice, syscall.ENOTDIR, syscall.ENAMETOOLONG, syscall.EINVAL} {
		if errors.Is(err, absent) {
			return false
		}
	}
	return !h.Live() || !ofKernel(name)
}

func ofKernel(name string) bool {
	return strings.HasPrefix(name, "/proc/") || strings.HasPrefix(name, "/sys/")
}

// ofProcess reports whether a path leads through the folder of a process.
func ofProcess(name string) bool {
	_, rest, ok := strings.Cut(name, "/proc/")
	return ok && rest != "" && rest[0] >= '0' && rest[0] <= '9'
}

func (r *refusals) add(one refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.met++
	same := func(o refusal) bool { return o.about == one.about && o.Path == one.Path }
	if len(r.list) < maxRefusals && !slices.ContainsFunc(r.list, same) {
		r.list = append(r.list, one)
	}
}

// Refusals is how many files and folders that are there could not be read in this run so
// far. A probe that keeps an outcome for its next runs keeps none that rests on any of them:
// each run must tell what it was refused.
func (h *Host) Refusals() int {
	h.refused.mu.Lock()
	defer h.refused.mu.Unlock()
	return h.refused.met
}

// take returns what was noted and begins anew.
func (r *refusals) take() []refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list, r.met = nil, 0
	return list
}

// refuse notes what the run was refused.
func (r *Report) refuse(list []refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.refused = list
	}
}

// untoldLocked is the first refusal of whichever section that neither a problem nor a remark
// names, nil if there is none.
func (r *Report) untoldLocked() error {
	for _, refused := range r.refused {
		told := refused.about != 0
		for _, problem := range r.problems {
			told = told || problem.tells(refused.Path)
		}
		for _, remark := range r.remarks {
			told = told || strings.Contains(remark, refused.Path)
		}
		if !told {
			return refused.PathError
		}
	}
	return nil
}

// pipeLocked is the first refusal of whichever section that met a pipe, nil if there is none.
func (r *Report) pipeLocked() error {
	for _, refused := range r.refused {
		if refused.about == 0 && refused.Err == errPipe {
			return refused.PathError
		}
	}
	return nil
}

// lackedLocked is the first refusal of a section itself that it does not name.
func (r *Report) lackedLocked(section facts.ID) error {
	for _, refused := range r.refused {
		if refused.about != section || strings.Contains(r.remarks[section], refused.Path) {
			continue
		}
		if p := r.problems[section]; p == nil || !p.tells(refused.Path) {
			return refused.PathError
		}
	}
	return nil
}
