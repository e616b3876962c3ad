package patches

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	order "atalaya/shared/version"
)

// offer is what one stanza of an index says of a version, as far as apt's choice
// depends on it.
type offer struct {
	version, arch         string
	source, sourceVersion string // empty where they equal name and version
	depends, preDepends   string
	recommends, provides  string
	breaks                string // and what it conflicts with
	multiArch             string
	phased                bool
	percent               int // of machines that may have it now, where phased
	release               *release
	component, machine    string // of its index
}

func (o *offer) field(name, value []byte) {
	switch string(name) {
	case "Version":
		o.version = string(value)
	case "Architecture":
		o.arch = string(value)
	case "Source":
		source, rest, ok := strings.Cut(string(value), " (")
		o.source = source
		if ok {
			o.sourceVersion = strings.TrimSuffix(rest, ")")
		}
	case "Depends":
		o.depends = string(value)
	case "Pre-Depends":
		o.preDepends = string(value)
	case "Recommends":
		o.recommends = string(value)
	case "Provides":
		o.provides = string(value)
	case "Breaks", "Conflicts":
		o.breaks += string(value) + ","
	case "Multi-Arch":
		o.multiArch = string(value)
	case "Phased-Update-Percentage":
		if n, err := strconv.Atoi(string(value)); err == nil && n >= 0 && n < 100 {
			o.phased, o.percent = true, n
		}
	}
}

// index is one Packages file, reduced to the packages that were asked for.
type index struct {
	file  string
	size  int64 // inflated, as the signed Release file promises; -1 if it does not
	stamp probe.Stamp
	// covered holds the names that were looked for, each with the version installed
	// then: what an offer needs is kept only where it is newer.
	covered map[string]string
	offers  map[string][]offer
	// virtual holds the names of which the providers were looked for too.
	virtual map[string][]string
}

// want is a set of package names with their installed versions, "" for not installed.
type want map[string]string

// indexExtensions are the compressions apt may leave in its lists folder.
var indexExtensions = []string{"", ".lz4", ".zst", ".gz", ".bz2", ".xz", ".lzma"}

// ensure reads the file unless it has been read for all of the names.
func (x *index) ensure(ctx context.Context, h *probe.Host, names want, virtual bool) error {
	if st := h.Stamp(x.file); st != x.stamp {
		*x = index{file: x.file, size: x.size, stamp: st, covered: make(map[string]string),
			offers: make(map[string][]offer), virtual: make(map[string][]string)}
	}
	missing := make(want)
	for name, version := range names {
		if !x.covers(name, version) {
			missing[name] = version
			delete(x.offers, name)
		}
		if _, ok := x.virtual[name]; virtual && !ok {
			missing[name] = version
			delete(x.offers, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := x.scan(ctx, h, missing, virtual); err != nil {
		x.stamp = probe.Stamp{} // nothing of it counts
		return fmt.Errorf("%s: %w", x.file, err)
	}
	for name, version := range missing {
		x.covered[name] = version
		if virtual {
			x.virtual[name] = append([]string{}, x.virtual[name]...)
		}
	}
	return nil
}

func (x *index) covers(name, installed string) bool {
	then, ok := x.covered[name]
	if !ok || then == "" || then == installed {
		return ok
	}
	return installed != "" && newer(installed, then)
}

// scan streams the file and keeps the offers of the names, and with virtual also those
// of packages that provide one of them.
func (x *index) scan(ctx context.Context, h *probe.Host, names want, virtual bool) error {
	r, err := openInflated(h, x.file)
	if err != nil {
		return err
	}
	defer r.Close()
	in := newStanzas(r)
	for n := 0; ; n++ {
		stanza, err := in.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		name := packageName(stanza)
		installed, wanted := names[string(name)]
		if wanted {
			x.keep(string(name), installed, stanza)
		}
		if virtual {
			x.keepProvider(string(name), wanted, names, stanza)
		}
	}
	switch {
	case x.size >= 0 && in.Read() != x.size:
		return fmt.Errorf("has %d bytes, the Release file says %d (run `apt-get update`)", in.Read(), x.size)
	case x.size < 0 && in.cut:
		return errors.New("cut off in the last line")
	}
	return nil
}

func (x *index) keep(name, installed string, stanza []byte) {
	var o offer
	eachField(stanza, o.field)
	if o.version == "" {
		return
	}
	if installed != "" && !newer(o.version, installed) {
		o.depends, o.preDepends, o.recommends, o.provides, o.breaks = "", "", "", "", ""
	}
	x.offers[name] = append(x.offers[name], o)
}

// keepProvider notes which of the names the package provides.
func (x *index) keepProvider(name string, kept bool, names want, stanza []byte) {
	i := bytes.Index(stanza, []byte("\nProvides: "))
	if i < 0 {
		return
	}
	line, _, _ := bytes.Cut(stanza[i+len("\nProvides: "):], []byte{'\n'})
	provides := false
	for part := range bytes.SplitSeq(line, []byte{','}) {
		word, _, _ := bytes.Cut(bytes.TrimSpace(part), []byte{' '})
		if _, ok := names[string(word)]; !ok {
			continue
		}
		provides = true
		if provided := string(word); !slices.Contains(x.virtual[provided], name) {
			x.virtual[provided] = append(x.virtual[provided], name)
		}
	}
	if _, covered := x.covered[name]; provides && !kept && !covered {
		x.keep(name, "", stanza)
	}
}

// newer reports whether a is newer than b in Debian's order; what is no version is
// older than anything.
func newer(a, b string) bool {
	c, err := order.Compare("deb", a, b)
	if err != nil {
		_, bad := order.Compare("deb", a, a)
		return bad == nil
	}
	return c > 0
}
