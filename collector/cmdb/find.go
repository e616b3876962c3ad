package cmdb

import (
	"errors"
	"fmt"
	"strings"

	"atalaya/collector/inventory"
	"atalaya/collector/store"
)

// find resolves what a person writes: an id, or CLASS:NAME with the names of things:
// "host:web1", "operating_system:web1", "service:web1/nginx", "software:openssl",
// "software:dpkg/openssl", "network_address:10.0.0.1", or a host alone: "web1".
func (r *reader) find(ref string) (item, error) {
	i := strings.IndexAny(ref, ":/")
	if i < 0 {
		h, err := r.findHost(ref)
		return item{class: Host, host: h.ID}, err
	}
	class, ok := ClassByName(ref[:i])
	if !ok {
		return item{}, fmt.Errorf("%q: %w: no class is called %q", ref, ErrNotFound, ref[:i])
	}
	rest := ref[i+1:]
	switch class {
	case Host, OperatingSystem:
		h, err := r.findHost(rest)
		it := item{class: class, host: h.ID}
		if err != nil || class == Host {
			return it, err
		}
		return r.known(it, ref)
	case Software:
		return r.findByName(ref, class, "", func(it item) bool {
			_, name, _ := strings.Cut(it.name, "/")
			return it.name == rest || name == rest
		})
	}
	if host, name, ok := strings.Cut(rest, "/"); ok {
		if h, err := r.findHost(host); err == nil {
			return r.known(item{class, h.ID, name}, ref)
		}
	}
	return r.findByName(ref, class, rest, func(it item) bool { return it.name == rest })
}

func (r *reader) findHost(ref string) (store.Host, error) {
	h, err := inventory.FindHost(r.tx, ref)
	if errors.Is(err, inventory.ErrNotFound) {
		return h, fmt.Errorf("host %q: %w", ref, ErrNotFound)
	}
	return h, err
}

func (r *reader) known(it item, ref string) (item, error) {
	_, known, err := r.record(it)
	if err == nil && !known {
		err = fmt.Errorf("%q: %w", ref, ErrNotFound)
	}
	return it, err
}

// record returns what is remembered of an item; false: nothing.
func (r *reader) record(it item) (itemRecord, bool, error) {
	if it.class.shared() {
		rec, err := readShared(r.tx, sharedKey(it))
		return rec.itemRecord, rec.First != 0, err
	}
	m, err := r.memory(it.host, sections[it.class])
	if rec := m[it]; rec != nil {
		return rec.itemRecord, true, err
	}
	return itemRecord{}, false, err
}

// AmbiguousError is a name that several items answer to.
type AmbiguousError struct {
	Ref string
	IDs []string // the first ones
}

// Error implements error.
func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%q is ambiguous, use an id: %s", e.Ref, strings.Join(e.IDs, " "))
}

// maxMatches is how many items an ambiguous name lists.
const maxMatches = 10

// findByName finds the one item of a class that fits; one that is present wins over
// those that are gone. name, where it is given, is the name of all that fit.
func (r *reader) findByName(ref string, class Class, name string, fits func(item) bool) (item, error) {
	var present, gone []item
	take := func(it item, rec itemRecord) error {
		switch {
		case !fits(it):
		case rec.Gone == 0:
			present = append(present, it)
		default:
			gone = append(gone, it)
		}
		return nil
	}
	hosts, known, err := r.having(class, name)
	switch {
	case err != nil:
	case known:
		for _, id := range hosts[:min(len(hosts), maxMatches+1)] {
			it := item{class, id, name}
			rec, has, err := r.record(it)
			if err != nil {
				return item{}, err
			}
			if !has {
				continue
			}
			if err := take(it, rec); err != nil {
				return item{}, err
			}
		}
	default:
		err = r.items(class, item{}, take)
	}
	if len(present) == 0 {
		present = gone
	}
	switch {
	case err != nil:
		return item{}, err
	case len(present) == 0:
		return item{}, fmt.Errorf("%q: %w", ref, ErrNotFound)
	case len(present) == 1:
		return present[0], nil
	}
	e := &AmbiguousError{Ref: ref}
	for _, it := range present[:min(len(present), maxMatches)] {
		e.IDs = append(e.IDs, it.id())
	}
	return item{}, e
}
