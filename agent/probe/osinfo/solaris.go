package osinfo

import (
	"regexp"
	"strings"
)

// solarisVersion is the version in the title line of /etc/release, where a letter or
// two may stand before it: "11.3", "v3.1.6", "oi_151.1.9", "r151030", "20160330T234717Z".
var solarisVersion = regexp.MustCompile(`^(?:v|r|oi_)?([0-9][0-9A-Za-z._-]*)$`)

// fromSolaris reads /etc/release of Solaris and the systems that come from it: a title
// line, then who holds the rights. An instance of SmartOS has the name and version of
// its image in /etc/product.
func fromSolaris(read reader) (release, bool) {
	text := string(read("/etc/release"))
	title := firstLine([]byte(text))
	lower := strings.ToLower(text)
	if title == "" || !strings.Contains(lower, "solaris") && !strings.Contains(lower, "illumos") && !strings.Contains(text, "Oracle") &&
		!strings.Contains(text, "Sun Microsystems") {
		return release{}, false
	}
	r := release{family: "solaris", pretty: title, like: "solaris"}
	words := strings.Fields(title)
	product := words
	for i, w := range words {
		if m := solarisVersion.FindStringSubmatch(w); m != nil && i > 0 {
			product, r.version = words[:i], m[1]
			break
		}
	}
	r.product = strings.Join(product, " ")
	switch {
	case strings.Contains(title, "Oracle Solaris"):
		r.product, r.vendor, r.id = "Solaris", "Oracle", "solaris"
	case strings.Contains(text, "Nexenta Systems"):
		r.product, r.vendor, r.id = "Nexenta", "Nexenta Systems", "nexenta"
	default:
		r.id, _, _ = strings.Cut(strings.ToLower(title), " ")
	}
	if image := spacedField(string(read("/etc/product")), "Image"); image != "" && r.version == "" {
		_, r.version, _ = cutLast(image, " ")
	}
	r.versionID, r.versionName = r.version, r.version
	return r, true
}

// spacedField is the value of a line "Name: value".
func spacedField(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
