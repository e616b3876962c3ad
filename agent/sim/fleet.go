// Package sim is a fleet of simulated agents in one process: hosts with realistic
// package sets, changes, metrics and faults, each with its own key, certificate and
// QUIC session. It is the load for measuring a collector, and keeps a ledger of what
// was acknowledged, which is checked against what the collector says afterwards.
//
// What a host has is a function of the seed, its number and how many of its changes
// have happened (Host.Step), and of nothing else: a second run, or the checker,
// comes to the same rows. The simulator reads nothing of the machine it runs on.
package sim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"regexp"
	"slices"
	"sync"

	"atalaya/shared/metric"
)

// Shape says what a fleet looks like.
type Shape struct {
	Seed     uint64
	Packages int // installed on a host; 0: 1,500
	Series   int // of metrics on a host; 0: 150
	// Prefix begins the names of hosts; "": "sim-". Fleets with different ones share no
	// name and no identity of hardware.
	Prefix string `json:",omitempty"`
}

const defaultPrefix = "sim-"

var prefixForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// hostName is the name of a host of the fleet.
func (s Shape) hostName(n int) string {
	return fmt.Sprintf("%s%06d", cmp.Or(s.Prefix, defaultPrefix), n)
}

// mark tells the hardware of fleets with different prefixes apart; 0 for the usual one.
func (s Shape) mark() uint16 {
	if s.Prefix == "" || s.Prefix == defaultPrefix {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(s.Prefix))
	return uint16(h.Sum32()%(1<<16-1)) + 1
}

const (
	// roles is how many kinds of machines there are; a role decides most packages.
	roles = 30
	// levels is how many versions of each package are about.
	levels = 8
	// commonShare of a host's packages are on every host, the rest come with its role,
	// but for ownPackages, which it alone chose.
	commonShare = 0.4
	ownPackages = 12
)

// product is a package that hosts may have, in its versions from old to new.
type product struct {
	name, source string
	versions     [levels]string
	size         int64
}

// Fleet holds what its hosts have in common.
type Fleet struct {
	shape    Shape
	products []product
	roles    [roles][]int32 // products of a role, ascending
	once     sync.Once
	series   []metric.Series
}

// NewFleet makes the catalogue of a fleet.
func NewFleet(s Shape) *Fleet {
	if s.Packages <= 0 {
		s.Packages = 1500
	}
	if s.Series <= 0 {
		s.Series = 150
	}
	f := &Fleet{shape: s, products: make([]product, max(4*s.Packages, len(wellKnown)+ownPackages))}
	r := rand.New(rand.NewPCG(s.Seed, 0))
	for i := range f.products {
		f.products[i] = newProduct(r, i)
	}
	common := int(commonShare * float64(s.Packages))
	for role := range f.roles {
		list := make([]int32, 0, s.Packages)
		for i := range common {
			list = append(list, int32(i))
		}
		for _, i := range r.Perm(len(f.products) - common)[:max(s.Packages-common-ownPackages, 0)] {
			list = append(list, int32(common+i))
		}
		slices.Sort(list)
		f.roles[role] = list
	}
	return f
}

// wellKnown are names by which people try a fleet; the first version of each.
var wellKnown = []struct {
	name                string
	major, minor, patch int
}{
	{"openssl", 3, 0, 7}, {"libssl3", 3, 0, 7}, {"openssh-server", 9, 2, 1}, {"openssh-client", 9, 2, 1}, {"bash", 5, 2, 10},
	{"libc6", 2, 36, 1}, {"systemd", 252, 12, 1}, {"sudo", 1, 9, 10}, {"curl", 7, 88, 1}, {"libcurl4", 7, 88, 1}, {"nginx", 1, 22, 0},
	{"apache2", 2, 4, 54}, {"postgresql-15", 15, 3, 0}, {"redis-server", 7, 0, 8}, {"python3.11", 3, 11, 1}, {"perl", 5, 36, 0},
	{"git", 2, 39, 1}, {"vim-common", 9, 0, 1370}, {"zlib1g", 1, 2, 12}, {"xz-utils", 5, 4, 0}, {"liblzma5", 5, 4, 0}, {"gnupg", 2, 2, 38},
	{"linux-image-amd64", 6, 1, 20}, {"dbus", 1, 14, 5}, {"cron", 3, 0, 130}, {"rsyslog", 8, 2302, 0}, {"tzdata", 2026, 1, 0},
	{"ca-certificates", 2023, 3, 10}, {"docker.io", 20, 10, 20}, {"chrony", 4, 3, 1}, {"libxml2", 2, 9, 12}, {"libexpat1", 2, 5, 0},
}

var syllables = []string{"ka", "lo", "mi", "ra", "to", "ve", "su", "pa", "ni", "do", "ge", "fi", "xu", "ba", "le", "co"}

func newProduct(r *rand.Rand, i int) product {
	p := product{source: "dpkg", size: 1024 * (8 + r.Int64N(8000))}
	major, minor, patch := r.IntN(8), r.IntN(20), r.IntN(30)
	if i < len(wellKnown) {
		k := wellKnown[i]
		p.name, major, minor, patch = k.name, k.major, k.minor, k.patch
	} else {
		stem := syllables[r.IntN(16)] + syllables[r.IntN(16)] + syllables[r.IntN(16)]
		p.name = fmt.Sprintf("%s%s%d", []string{"lib", "python3-", "golang-", "", "fonts-"}[r.IntN(5)], stem, i)
	}
	for level := range p.versions {
		p.versions[level] = fmt.Sprintf("%d.%d.%d-1", major, minor, patch+level)
	}
	return p
}
