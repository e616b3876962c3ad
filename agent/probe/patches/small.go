package patches

import (
	"context"
	"fmt"
	"io"
	"path"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// smallIndex is an index reduced to installed names, kept as long as its file does not
// change.
type smallIndex struct {
	stamp  probe.Stamp
	names  map[string]string // name and version installed that were looked for
	offers []smallOffer
	signed bool
}

// smallOffer is a package of an apk or pacman repository.
type smallOffer struct {
	name, version, arch string
	groups              []string
	replaces            []string // pacman's: names, perhaps with a condition on the version
}

// smallReader reads the indexes of apk or pacman, or takes them as they were read before.
type smallReader struct {
	*finding
	h                *probe.Host
	manager, refresh string            // its name, and what people run to fetch the indexes
	names            map[string]string // what is looked for
	kept, used       map[string]*smallIndex
	parse            func(stop func() error, f io.Reader, names map[string]string) (offers []smallOffer, signed bool, err error)
}

// index reads one index; nil: it could not be read, which is noted.
func (r *smallReader) index(ctx context.Context, id, file string) *smallIndex {
	state := &indexState{PackageIndexRow: facts.PackageIndexRow{Manager: r.manager, Repository: id}}
	r.indexes = append(r.indexes, state)
	r.in.note(r.h, path.Dir(file))
	r.in.note(r.h, file)
	x := r.kept[file]
	if stamp := r.h.Stamp(file); x == nil || x.stamp != stamp || !sameNames(x.names, r.names) {
		x = &smallIndex{stamp: stamp, names: r.names}
		var err error
		if stamp == (probe.Stamp{}) {
			err = fmt.Errorf("no index of %q is kept (run `%s`)", id, r.refresh)
		} else if err = r.read(ctx, x, file); err != nil {
			err, state.File = fmt.Errorf("%s: %w", file, err), file
		}
		if err != nil {
			r.problems = append(r.problems, err)
			state.Error = err.Error()
			return nil
		}
	}
	r.used[file] = x
	_, err := r.h.Stat(file + ".sig") // pacman's; apk's are inside
	state.File, state.Signature = file, "unsigned"
	if x.signed || err == nil {
		state.Signature = "signed"
	}
	state.confirmed = func(h *probe.Host) (time.Time, string) { return fetched(h, file), "" }
	return x
}

func (r *smallReader) read(ctx context.Context, x *smallIndex, file string) error {
	f, err := r.h.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() // read only: nothing can be lost
	x.offers, x.signed, err = r.parse(ctx.Err, f, x.names)
	return err
}

// fetched is when a program that keeps the server's time of a file fetched it, or a time
// before that: the change time, unless the folder was last changed earlier, as where an
// image was unpacked. In copies of another machine's files only the server's time.
func fetched(h *probe.Host, file string) time.Time {
	info, err := h.Stat(file)
	if err != nil {
		return time.Time{}
	}
	at := info.ModTime()
	if !h.Live() {
		return at
	}
	changed, folder := changeTime(info), modTime(h.Stat(path.Dir(file)))
	if folder.Before(changed) {
		changed = folder
	}
	return later(at, changed)
}

// sameNames compares what an index was read for. An update that was installed since
// makes it be read again.
func sameNames(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, version := range a {
		if v, ok := b[name]; !ok || v != version {
			return false
		}
	}
	return true
}
