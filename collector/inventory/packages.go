package inventory

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/version"
	"atalaya/shared/wire"
)

// The package index maps name, source, architecture and version to the hosts that
// have it. Hosts are kept in blocks of 256 by their index: the key ends in the number
// of the block, the value is a hostSet. So a change on one host rewrites at most 32
// bytes for each package, whatever the size of the fleet.

// packageID is what the index tells apart.
type packageID struct{ name, source, arch, version string }

func packageKey(p packageID) []byte {
	return store.Key([]byte(p.name), []byte(p.source), []byte(p.arch), []byte(p.version))
}

// blockBytes is the length of the number of a block at the end of a key.
const blockBytes = 3

func blockKey(p packageID, index uint32) []byte {
	return append(packageKey(p), byte(index>>24), byte(index>>16), byte(index>>8))
}

func splitBlockKey(key []byte) (p packageID, block uint32, err error) {
	if len(key) < blockBytes {
		return p, 0, &store.CorruptError{Table: tablePackages, Key: bytes.Clone(key), Detail: "too short"}
	}
	n := len(key) - blockBytes
	parts, err := store.SplitKey(key[:n])
	if err != nil || len(parts) != 4 {
		return p, 0, &store.CorruptError{Table: tablePackages, Key: bytes.Clone(key), Detail: "not a package"}
	}
	p = packageID{string(parts[0]), string(parts[1]), string(parts[2]), string(parts[3])}
	return p, uint32(key[n])<<24 | uint32(key[n+1])<<16 | uint32(key[n+2])<<8, nil
}

// hostSet is a set of numbers from 0 to 255: up to 31 of them as ascending bytes,
// more as 32 bytes with a bit for each.
type hostSet []byte

const bitmapBytes = 32

func (s hostSet) with(b byte) hostSet {
	if len(s) == bitmapBytes {
		s = slices.Clone(s)
		s[b/8] |= 1 << (b % 8)
		return s
	}
	i, found := slices.BinarySearch(s, b)
	if found {
		return s
	}
	return fromList(slices.Insert(slices.Clone(s), i, b))
}

func (s hostSet) without(b byte) hostSet {
	list := s.list()
	i, found := slices.BinarySearch(list, b)
	if !found {
		return s
	}
	return fromList(slices.Delete(list, i, i+1))
}

// list returns the members, ascending, in a slice of its own.
func (s hostSet) list() []byte {
	if len(s) != bitmapBytes {
		return slices.Clone(s)
	}
	var out []byte
	for i := range 256 {
		if s[i/8]&(1<<(i%8)) != 0 {
			out = append(out, byte(i))
		}
	}
	return out
}

func fromList(list []byte) hostSet {
	if len(list) < bitmapBytes {
		return list
	}
	s := make(hostSet, bitmapBytes)
	for _, b := range list {
		s[b/8] |= 1 << (b % 8)
	}
	return s
}

// packageIndex gathers the changes of one fold, so that each set is written once.
type packageIndex struct {
	table store.Table
	sets  map[string]hostSet // by key, as they are to be
}

func (x *packageIndex) change(index uint32, c store.Change) error {
	if c.Old != nil {
		if err := x.edit(index, c.Old, hostSet.without); err != nil {
			return err
		}
	}
	if c.New != nil {
		return x.edit(index, c.New, hostSet.with)
	}
	return nil
}

func (x *packageIndex) edit(index uint32, data []byte, how func(hostSet, byte) hostSet) error {
	row, err := wire.DecodeRow(facts.Packages, data)
	if err != nil {
		return err
	}
	r := row.(*facts.PackageRow)
	key := blockKey(packageID{r.Name, r.Source, r.Arch, r.Version}, index)
	set, ok := x.sets[string(key)]
	if !ok {
		if set, err = x.table.Get(key); err != nil {
			return err
		}
	}
	x.sets[string(key)] = how(set, byte(index))
	return nil
}

func (x *packageIndex) flush() error {
	keys := make([]string, 0, len(x.sets))
	for k := range x.sets {
		keys = append(keys, k)
	}
	slices.Sort(keys) // neighbours together: several times quicker than in any order
	for _, k := range keys {
		var err error
		if set := x.sets[k]; len(set) == 0 {
			err = x.table.Delete([]byte(k))
		} else {
			err = x.table.Put([]byte(k), set)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// PackageQuery selects installed packages of the fleet.
type PackageQuery struct {
	Name   string // exact, or with * and ? as in path.Match
	Source string // package system; empty: all
	Below  string // only versions older than it
	Above  string // only versions newer than it
	Offset int    // matches to leave out
	Limit  int    // matches to return; 0: all
}

// PackageMatch is one package on one host.
type PackageMatch struct {
	Host    HostRef `json:"host"`
	Name    string  `json:"name"`
	Version string  `json:"version"`
	Arch    string  `json:"arch,omitempty"`
	Source  string  `json:"source"`
}

// PackageResult is the answer to a PackageQuery.
type PackageResult struct {
	Matches []PackageMatch // by name, source, architecture, version in its own order, host
	Total   int            // matches in the fleet, those returned and those not
	// Uncomparable are versions that could not be ordered against the bounds; they are
	// not among the matches.
	Uncomparable []string
}

// schemes maps package systems to the way their versions are ordered.
var schemes = map[string]string{"dpkg": "deb", "rpm": "rpm", "apk": "apk"}

// maxUncomparable bounds the list of a result.
const maxUncomparable = 100

// FindPackage finds which hosts have a package.
func (v *View) FindPackage(q PackageQuery) (PackageResult, error) {
	var res PackageResult
	if _, err := path.Match(q.Name, ""); err != nil {
		return res, fmt.Errorf("package name %q: %w", q.Name, err)
	}
	err := v.store.View(func(tx *store.Tx) error {
		names, err := matchingNames(tx, q.Name)
		if err != nil {
			return err
		}
		for _, name := range names {
			versions, err := q.versions(tx, name, &res)
			if err != nil {
				return err
			}
			for _, pv := range versions {
				if err := q.collect(tx, pv, &res); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return res, err
}

// matchingNames returns the names of the index that fit the pattern, sorted. It jumps
// from name to name, over the versions and hosts of each.
func matchingNames(tx *store.Tx, pattern string) ([]string, error) {
	if !strings.ContainsAny(pattern, `*?[\`) {
		return []string{pattern}, nil
	}
	var names []string
	from := []byte{}
	for {
		name, found := "", false
		err := tx.Table(tablePackages).ScanFrom(nil, from, func(k, _ []byte) error {
			p, _, err := splitBlockKey(k)
			if err != nil {
				return err
			}
			name, found = p.name, true
			return store.ErrStop
		})
		if err != nil {
			return nil, err
		}
		if !found {
			slices.Sort(names)
			return names, nil
		}
		if ok, _ := path.Match(pattern, name); ok { // the pattern was checked before
			names = append(names, name)
		}
		from = store.PrefixEnd(store.Key([]byte(name)))
	}
}

// packageVersion is one version of a package with its blocks of hosts.
type packageVersion struct {
	packageID
	blocks []hostBlock
}

type hostBlock struct {
	base uint32
	set  hostSet
}

// versions returns the versions of a package that fit the query, oldest first.
func (q PackageQuery) versions(tx *store.Tx, name string, res *PackageResult) ([]packageVersion, error) {
	var out []packageVersion
	var last packageID
	var fits bool
	err := tx.Table(tablePackages).Scan(store.Key([]byte(name)), func(k, set []byte) error {
		p, base, err := splitBlockKey(k)
		if err != nil {
			return err
		}
		if p != last {
			last = p
			if fits = q.fits(p, res); fits {
				out = append(out, packageVersion{packageID: p})
			}
		}
		if fits {
			pv := &out[len(out)-1]
			pv.blocks = append(pv.blocks, hostBlock{base, set})
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b packageVersion) int {
		if c := cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.arch, b.arch)); c != 0 {
			return c
		}
		c, err := version.Compare(schemes[a.source], a.version, b.version)
		if err != nil || c == 0 {
			return cmp.Compare(a.version, b.version)
		}
		return c
	})
	return out, err
}

// fits reports whether a version is within the bounds.
func (q PackageQuery) fits(p packageID, res *PackageResult) bool {
	if q.Source != "" && p.source != q.Source {
		return false
	}
	for _, bound := range []struct {
		version string
		want    int
	}{{q.Below, -1}, {q.Above, 1}} {
		if bound.version == "" {
			continue
		}
		c, err := version.Compare(schemes[p.source], p.version, bound.version)
		if err != nil {
			if len(res.Uncomparable) < maxUncomparable {
				res.Uncomparable = append(res.Uncomparable, fmt.Sprintf("%s %s (%s)", p.name, p.version, p.source))
			}
			return false
		}
		if c != bound.want {
			return false
		}
	}
	return true
}

// collect adds the hosts of a version to the result.
func (q PackageQuery) collect(tx *store.Tx, pv packageVersion, res *PackageResult) error {
	for _, block := range pv.blocks {
		for _, low := range block.set.list() {
			res.Total++
			if res.Total <= q.Offset || q.Limit > 0 && len(res.Matches) == q.Limit {
				continue
			}
			id, ok, err := tx.HostByIndex(block.base | uint32(low))
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			name, err := tx.HostName(id)
			if err != nil {
				return err
			}
			res.Matches = append(res.Matches, PackageMatch{HostRef{id, name}, pv.name, pv.version, pv.arch, pv.source})
		}
	}
	return nil
}
