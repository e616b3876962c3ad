package inventory

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/version"
	"atalaya/shared/wire"
)

// packageID is what a question about packages tells apart.
type packageID struct{ name, source, arch, version string }

// PackageQuery selects installed packages of the fleet.
type PackageQuery struct {
	Name   string    // exact, or with * and ? as in path.Match
	Source string    // package system; empty: all
	Below  string    // only versions older than it
	Above  string    // only versions newer than it
	At     time.Time // as things were then; zero: now
	Offset int       // matches to leave out
	Limit  int       // matches to return; 0: all
}

// PackageMatch is one package on one host.
type PackageMatch struct {
	Host    HostRef `json:"host"`
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Arch    string  `json:"arch,omitempty"`
	Source  string  `json:"source"`
	// KnownAt is the last reading of the host's packages that succeeded, by our clock.
	KnownAt time.Time `json:"known_at,omitzero"`
}

// PackageResult is the answer to a PackageQuery.
type PackageResult struct {
	Matches []PackageMatch // by name, source, architecture, version in its own order, host
	Total   int            // matches in the fleet, those returned and those not
	// Uncomparable are versions that could not be ordered against the bounds; they are
	// not among the matches.
	Uncomparable []string
}

// maxUncomparable bounds the list of a result.
const maxUncomparable = 100

// FindPackage finds which hosts have a package.
func (v *View) FindPackage(q PackageQuery) (PackageResult, error) {
	var res PackageResult
	if _, err := path.Match(q.Name, ""); err != nil {
		return res, fmt.Errorf("package name %q: %w", q.Name, err)
	}
	for _, bound := range []string{q.Below, q.Above} {
		// dpkg and rpm order any text, with a warning at most.
		if bound != "" && !strings.ContainsAny(bound, "0123456789") {
			return res, fmt.Errorf("%w: %q has no digit", ErrVersion, bound)
		}
	}
	err := v.store.View(func(tx *store.Tx) error {
		state, err := stateAt(tx, q.At)
		if err != nil {
			return err
		}
		versions, err := q.versions(state, &res)
		if err != nil {
			return err
		}
		for _, pv := range versions {
			if err := q.collect(tx, pv, &res); err != nil {
				return err
			}
		}
		return nil
	})
	return res, err
}

// stateAt returns the state at a moment, now where it is zero.
func stateAt(tx *store.Tx, at time.Time) (*store.State, error) {
	if at.IsZero() {
		return tx.Now(), nil
	}
	if err := tx.Reaches(at); err != nil {
		return nil, err
	}
	return tx.AsOf(at)
}

// packageVersion is one version of a package with the hosts that have it.
type packageVersion struct {
	packageID
	hosts store.HostSet
}

// versions returns the versions of packages that fit the query and that hosts have,
// by name, source and architecture, oldest first. Items that differ in other columns
// are one.
func (q PackageQuery) versions(state *store.State, res *PackageResult) ([]packageVersion, error) {
	c := candidates{query: q, state: state, res: res, at: map[packageID]int{}, fits: map[packageID]fitness{}}
	var err error
	if strings.ContainsAny(q.Name, `*?[\`) {
		err = state.Items(facts.Packages, "", c.take)
	} else {
		err = state.ItemsNamed(facts.Packages, q.Name, c.take)
	}
	if n := len(res.Uncomparable); err == nil && n > 0 && !c.compared {
		err = fmt.Errorf("%w: %q cannot be compared with any of %d versions, e.g. %s", ErrVersion, cmp.Or(q.Below, q.Above), n, res.Uncomparable[0])
	}
	slices.SortStableFunc(c.found, func(a, b packageVersion) int {
		if c := cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.source, b.source), cmp.Compare(a.arch, b.arch)); c != 0 {
			return c
		}
		c, err := version.Compare(version.Scheme(a.source), a.version, b.version)
		if err != nil || c == 0 {
			return cmp.Compare(a.version, b.version)
		}
		return c
	})
	return c.found, err
}

// candidates gathers the versions of packages that fit a query.
type candidates struct {
	query PackageQuery
	state *store.State
	res   *PackageResult
	found []packageVersion
	at    map[packageID]int // in found
	fits  map[packageID]fitness
	// compared: a version could be compared with the bounds.
	compared bool
}

// take looks at one item.
func (c *candidates) take(it store.Item) error {
	row, err := wire.DecodeRow(facts.Packages, it.Data)
	if err != nil {
		return err
	}
	r := row.(*facts.PackageRow)
	if ok, _ := path.Match(c.query.Name, r.Name); !ok && r.Name != c.query.Name { // the pattern was checked before
		return nil
	}
	p := packageID{r.Name, r.Source, r.Arch, r.Version}
	fit, judged := c.fits[p]
	if !judged {
		fit = c.query.fits(p)
		c.fits[p] = fit
		c.compared = c.compared || fit == yes || fit == no && (c.query.Source == "" || p.source == c.query.Source)
	}
	if fit == no {
		return nil // whoever has it: sets of a hundred thousand hosts take time to read
	}
	hosts, err := c.state.HostsWith(it)
	if err != nil || hosts.Len() == 0 {
		return err
	}
	if fit == uncomparable {
		c.fits[p] = no // it is told once
		if len(c.res.Uncomparable) < maxUncomparable {
			c.res.Uncomparable = append(c.res.Uncomparable, fmt.Sprintf("%s %s (%s)", p.name, p.version, p.source))
		}
		return nil
	}
	i, known := c.at[p]
	if !known {
		i = len(c.found)
		c.at[p] = i
		c.found = append(c.found, packageVersion{packageID: p})
	}
	c.found[i].hosts = c.found[i].hosts.Or(hosts)
	return nil
}

// fitness says whether a version is within the bounds of a query.
type fitness uint8

const (
	no fitness = iota
	yes
	uncomparable // with one of the bounds
)

func (q PackageQuery) fits(p packageID) fitness {
	if q.Source != "" && p.source != q.Source {
		return no
	}
	for _, bound := range []struct {
		version string
		want    int
	}{{q.Below, -1}, {q.Above, 1}} {
		if bound.version == "" {
			continue
		}
		c, err := version.Compare(version.Scheme(p.source), p.version, bound.version)
		if err != nil {
			return uncomparable
		}
		if c != bound.want {
			return no
		}
	}
	return yes
}

// collect adds the hosts of a version to the result.
func (q PackageQuery) collect(tx *store.Tx, pv packageVersion, res *PackageResult) error {
	before := res.Total
	res.Total += pv.hosts.Len()
	if res.Total <= q.Offset {
		return nil
	}
	for index := range pv.hosts.All() {
		if q.Limit > 0 && len(res.Matches) == q.Limit {
			return nil
		}
		if before++; before <= q.Offset {
			continue
		}
		h, st, ok, err := tx.HostSection(index, facts.Packages)
		if err != nil {
			return err
		}
		if ok {
			m := PackageMatch{Host: HostRef{h.ID, h.Name}, Name: pv.name, Version: pv.version, Arch: pv.arch, Source: pv.source}
			if q.At.IsZero() { // the past knows no times of readings
				m.KnownAt = ours(st.KnownAt, h.ClockOffset)
			}
			res.Matches = append(res.Matches, m)
		}
	}
	return nil
}
