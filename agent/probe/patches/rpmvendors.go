package patches

import (
	"strings"

	"atalaya/agent/probe"
)

// vendorGroups are the vendors that libzypp takes for one, by the beginning of their
// names in lower case (VendorAttr.cc): an update does not lead from one to another.
type vendorGroups map[string]int

// readVendors reads vendors.d. Of itself libzypp knows one: all whose names begin with
// suse.
func readVendors(h *probe.Host, in *inputs) vendorGroups {
	const dir = "/etc/zypp/vendors.d"
	g := vendorGroups{"suse": 1}
	next := 2
	for _, s := range in.sections(h, dir) {
		if s.name == "main" {
			g.join(strings.Split(s.value("vendors"), ","), next)
			next++
		}
	}
	return g
}

// join makes one group of the vendors and of the groups that they are in.
func (g vendorGroups) join(names []string, id int) {
	for _, name := range names {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		for other, old := range g {
			if old == g[name] && old != 0 {
				g[other] = id
			}
		}
		g[name] = id
	}
}

// group is that of the longest beginning; names below openSUSE must be equal.
func (g vendorGroups) group(vendor string) int {
	if strings.HasPrefix(vendor, "opensuse") {
		return g[vendor]
	}
	for n := len(vendor); n > 0; n-- {
		if id := g[vendor[:n]]; id != 0 {
			return id
		}
	}
	return 0
}

// differ reports whether two vendors are not one. What has none is of any.
func (g vendorGroups) differ(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == "" || b == "" || a == b {
		return false
	}
	id := g.group(a)
	return id == 0 || id != g.group(b)
}
