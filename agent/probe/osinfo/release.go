package osinfo

import (
	"regexp"
	"strings"
)

// release is what the release files of a Linux or BSD system say. Every field may
// be empty.
type release struct {
	id          string // short lower-case name: debian
	product     string // name without version
	pretty      string // name for people, with version
	version     string // most exact known
	versionID   string
	versionName string
	codename    string
	like        string
	variantID   string
	buildID     string
	supportEnd  string
	vendor      string
	minor       string // where it is not part of the version
	family      string // where it is not Linux
	arch        string // where a release file tells it
	unnamed     bool   // the release says that it has no codename
}

// reader returns the content of a file, nil when there is none. The parsers of this
// file see the system only through it.
type reader func(path string) []byte

// classicFiles are the release files from before os-release(5), the most specific
// first: a clone also has the file of what it was cloned from.
var classicFiles = []string{
	"/etc/oracle-release", "/etc/enterprise-release", "/etc/rocky-release", "/etc/almalinux-release",
	"/etc/miraclelinux-release", "/etc/sl-release", "/etc/xenserver-release", "/etc/cloudlinux-release",
	"/etc/virtuozzo-release", "/etc/photon-release", "/etc/altlinux-release", "/etc/mageia-release",
	"/etc/mandriva-release", "/etc/mandrake-release", "/etc/turbolinux-release", "/etc/fedora-release",
	"/etc/base-release", "/etc/centos-release", "/etc/redhat-release", "/etc/gentoo-release",
	"/etc/slackware-version", "/etc/sourcemage-release", "/etc/system-release",
}

// detect reads the release files: os-release(5) first, then lsb-release, then the
// classic files of each distribution.
func detect(read reader) release {
	vars := parseAssignments(firstOf(read, "/etc/os-release", "/usr/lib/os-release"))
	r := fromOSRelease(vars)
	if r.id == "" && r.product == "" {
		r = fromClassic(read)
	}
	r.id = strings.ToLower(r.id)
	r.refine(read)
	if r.pretty == "" {
		r.pretty = strings.TrimSpace(r.product + " " + r.versionName)
	}
	return r
}

func firstOf(read reader, paths ...string) []byte {
	for _, p := range paths {
		if b := read(p); len(b) > 0 {
			return b
		}
	}
	return nil
}

// parseAssignments reads the shell-like NAME=value lines of os-release(5) and
// lsb-release: comments, single and double quotes, backslash escapes. The last of
// equal names wins, as in the shell. Lines of any other form are skipped.
func parseAssignments(b []byte) map[string]string {
	vars := make(map[string]string)
	for line := range strings.Lines(string(b)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || name == "" || strings.ContainsAny(name, "# \t") {
			continue
		}
		vars[name] = unquote(value)
	}
	return vars
}

// unquote undoes the quoting of a shell word. An unterminated quote ends with the
// line, since a damaged file should still give its name.
func unquote(s string) string {
	var b strings.Builder
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			if quote == '"' && !strings.ContainsRune("\\\"$`", rune(s[i])) {
				b.WriteByte('\\')
			}
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t' || c == '#' && i > 0 && s[i-1] == ' '):
			return b.String()
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}

func fromOSRelease(v map[string]string) release {
	r := release{
		id: v["ID"], product: v["NAME"], pretty: v["PRETTY_NAME"],
		version: v["VERSION_ID"], versionID: v["VERSION_ID"], versionName: v["VERSION"],
		like: v["ID_LIKE"], variantID: v["VARIANT_ID"], buildID: v["BUILD_ID"],
		supportEnd: v["SUPPORT_END"], vendor: v["VENDOR_NAME"],
	}
	if r.id == "" && r.product != "" {
		r.id = idOfName(r.product)
	}
	r.codename = codename(v)
	_, r.unnamed = v["VERSION_CODENAME"]
	return r
}

// codename finds the name of a release. VERSION_CODENAME counts even when it is
// empty: the distribution then says that there is none.
func codename(v map[string]string) string {
	for _, name := range []string{"VERSION_CODENAME", "UBUNTU_CODENAME", "DISTRIB_CODENAME"} {
		if c, ok := v[name]; ok {
			return c
		}
	}
	version := v["VERSION"]
	if _, after, ok := strings.Cut(version, ", "); ok { // "14.04.3 LTS, Trusty Tahr"
		return after
	}
	if c := parenthesised(version); c != "" && c != v["VARIANT"] && !machineName[c] {
		return c
	}
	return ""
}

// machineName tells architectures from codenames: SUSE wrote "42.1 (x86_64)".
var machineName = map[string]bool{
	"x86_64": true, "i386": true, "i586": true, "i686": true, "aarch64": true, "armv7l": true,
	"ppc": true, "ppc64": true, "ppc64le": true, "s390": true, "s390x": true, "ia64": true, "riscv64": true,
}

func parenthesised(s string) string {
	_, after, ok := strings.Cut(s, "(")
	if !ok {
		return ""
	}
	inner, _, _ := strings.Cut(after, ")")
	return strings.TrimSpace(inner)
}

// fromClassic knows systems that have no os-release(5).
func fromClassic(read reader) release {
	if b := read("/etc/SuSE-release"); len(b) > 0 {
		return parseSUSE(string(b))
	}
	if r, ok := fromSolaris(read); ok {
		return r
	}
	for _, path := range classicFiles {
		if r, ok := parseClassic(string(read(path))); ok {
			return r
		}
	}
	if r, ok := fromLSB(parseAssignments(firstOf(read, "/etc/lsb-release", "/etc/openwrt_release"))); ok {
		return r
	}
	if b := firstLine(read("/etc/alpine-release")); b != "" {
		return release{id: "alpine", product: "Alpine Linux", version: b, versionID: b, versionName: b}
	}
	if b := firstLine(read("/etc/debian_version")); b != "" {
		return release{id: "debian", product: "Debian GNU/Linux", version: b, versionName: b}
	}
	if read("/etc/arch-release") != nil { // an empty file
		return release{id: "arch", product: "Arch Linux"}
	}
	return release{id: "linux", product: "Linux"} // the default of os-release(5)
}

func fromLSB(v map[string]string) (release, bool) {
	name := v["DISTRIB_ID"]
	if name == "" {
		return release{}, false
	}
	return release{
		id: idOfName(name), product: name, pretty: v["DISTRIB_DESCRIPTION"],
		version: v["DISTRIB_RELEASE"], versionID: v["DISTRIB_RELEASE"], versionName: v["DISTRIB_RELEASE"],
		codename: v["DISTRIB_CODENAME"],
	}, true
}

// classicLine is the one line of most classic files: "CentOS release 5.11 (Final)",
// "Slackware 14.2", "Gentoo Base System release 2.2".
var classicLine = regexp.MustCompile(`^(.+?)(?: release)? (V?[0-9][^ ]*)(?: [A-Za-z]+)?(?: \(([^)]*)\))?`)

func parseClassic(text string) (release, bool) {
	line := firstLine([]byte(text))
	if line == "" {
		return release{}, false
	}
	if v := parseAssignments([]byte(text)); v["NAME"] != "" { // os-release under another name
		return fromOSRelease(v), true
	}
	m := classicLine.FindStringSubmatch(line)
	if m == nil {
		return release{id: idOfName(line), product: trimArch(line), pretty: trimArch(line)}, true
	}
	name := strings.TrimSuffix(m[1], " release")
	versionName := m[2]
	if m[3] != "" {
		versionName += " (" + m[3] + ")"
	}
	return release{
		id: idOfName(name), product: name, pretty: name + " " + versionName,
		version: m[2], versionID: m[2], versionName: versionName, codename: m[3],
	}, true
}

// trimArch takes the build triplet off "Source Mage GNU/Linux x86_64-pc-linux-gnu".
func trimArch(s string) string {
	head, tail, ok := cutLast(s, " ")
	if ok && strings.Contains(tail, "-linux") {
		return head
	}
	return s
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// parseSUSE reads /etc/SuSE-release: a title line, then "VERSION = 11" and "PATCHLEVEL = 4".
func parseSUSE(text string) release {
	title, _, _ := strings.Cut(firstLine([]byte(text)), " (")
	version, patch := spacedValue(text, "VERSION"), spacedValue(text, "PATCHLEVEL")
	r := release{id: "suse", product: strings.TrimSpace(strings.TrimSuffix(title, " "+version)), pretty: title}
	switch {
	case strings.Contains(title, "openSUSE"):
		r.id = "opensuse"
	case strings.Contains(title, "Server"):
		r.id = "sles"
	case strings.Contains(title, "Desktop"):
		r.id = "sled"
	}
	r.versionID, r.version, r.codename = version, version, spacedValue(text, "CODENAME")
	if patch != "" && patch != "0" {
		r.version += "." + patch
	}
	r.versionName = r.version
	return r
}

func spacedValue(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, "="); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return strings.TrimSpace(line)
}

// nameIDs are the os-release IDs of systems that only have a name; matched by
// prefix in lower case, longest first where one is the start of another.
var nameIDs = []nameID{
	{"red hat enterprise", "rhel"}, {"red hat", "rhel"}, {"centos", "centos"}, {"fedora", "fedora"},
	{"scientific", "scientific"}, {"oracle", "ol"}, {"enterprise linux", "ol"}, {"cloudlinux", "cloudlinux"},
	{"amazon", "amzn"}, {"rocky", "rocky"}, {"almalinux", "almalinux"}, {"virtuozzo", "virtuozzo"},
	{"xenserver", "xenserver"}, {"source mage", "smgl"}, {"gentoo", "gentoo"}, {"slackware", "slackware"},
	{"mandriva", "mandriva"}, {"mandrake", "mandriva"}, {"mageia", "mageia"}, {"altlinux", "altlinux"},
	{"alt ", "altlinux"}, {"linuxmint", "linuxmint"}, {"vmware photon", "photon"}, {"kvm for ibm", "kvmibm"},
}

type nameID struct{ prefix, id string }

func idOfName(name string) string {
	lower := strings.ToLower(name)
	for _, n := range nameIDs {
		if strings.HasPrefix(lower, n.prefix) {
			return n.id
		}
	}
	word, _, _ := strings.Cut(lower, " ")
	return word
}

// refine looks for what os-release(5) leaves out: the point release, the codename,
// the patch level of SUSE, the lineage.
func (r *release) refine(read reader) {
	r.refinePoint(read)
	suse := read("/etc/SuSE-release")
	if word := parenthesised(firstLine(suse)); machineName[word] {
		r.arch = word
	}
	if len(suse) > 0 && strings.HasPrefix(r.id, "sle") {
		r.minor = spacedValue(string(suse), "PATCHLEVEL")
		if r.minor != "" && r.minor != "0" && !strings.Contains(r.version, ".") {
			r.version += "." + r.minor
		}
	}
	lsb := parseAssignments(read("/etc/lsb-release"))
	if r.codename == "" && sameName(lsb["DISTRIB_ID"], r.id) {
		r.codename = lsb["DISTRIB_CODENAME"]
	}
	if r.id == "devuan" && r.codename == "" { // Devuan's testing has its name in PRETTY_NAME alone
		_, r.codename, _ = cutLast(r.pretty, " ")
	}
	if armbian := parseAssignments(read("/etc/armbian-release")); armbian["VERSION"] != "" && r.variantID == "" {
		r.variantID, r.buildID = "armbian", armbian["VERSION"]
	}
	if r.codename == "" && !r.unnamed {
		r.codename = r.classicCodename(read)
	}
	if r.like == "" {
		r.like = likeOf(r.id, read)
	}
}

func sameName(a, b string) bool {
	strip := strings.NewReplacer("-", "", "_", "", " ", "")
	return a != "" && strings.EqualFold(strip.Replace(a), strip.Replace(b))
}

// refinePoint finds a version more exact than VERSION_ID: Debian's is in
// /etc/debian_version, Ubuntu's in PRETTY_NAME, that of Red Hat's clones in their
// release files. Only a version that begins with VERSION_ID is taken: a derivative
// also carries the file of the system it comes from.
func (r *release) refinePoint(read reader) {
	debian := firstLine(read("/etc/debian_version"))
	if r.versionID == "" {
		if r.id == "debian" && debian != "" {
			r.version = debian
		} else if r.version == "" {
			r.version = leadingVersion(r.versionName)
		}
		return
	}
	candidates := append(strings.Fields(r.versionName), strings.Fields(r.pretty)...)
	candidates = append(candidates, debian)
	candidates = append(candidates, r.classicVersions(read)...)
	for _, c := range candidates {
		if strings.HasPrefix(c, r.versionID+".") && isVersion(c) && len(c) > len(r.version) {
			r.version = c
		}
	}
}

// classicVersions are the versions in the classic files that name this very system.
func (r *release) classicVersions(read reader) []string {
	var out []string
	for _, path := range classicFiles {
		if c, ok := parseClassic(string(read(path))); ok && c.id == idOfName(r.product) {
			out = append(out, c.version)
		}
	}
	return out
}

// classicCodename is the name in the classic files that name this very release:
// "Fedora release 25 (Rawhide)". A build number is no name.
func (r *release) classicCodename(read reader) string {
	for _, path := range classicFiles {
		c, ok := parseClassic(string(read(path)))
		if ok && c.id == idOfName(r.product) && strings.HasPrefix(c.version, r.versionID) && c.codename != "" &&
			!machineName[c.codename] && strings.ToUpper(c.codename[:1]) != strings.ToLower(c.codename[:1]) {
			return c.codename
		}
	}
	return ""
}

func leadingVersion(s string) string {
	word, _, _ := strings.Cut(s, " ")
	if isVersion(word) {
		return word
	}
	return ""
}

func isVersion(s string) bool {
	return s != "" && s[0] >= '0' && s[0] <= '9' && strings.Trim(s, "0123456789.") == ""
}

// lineages says whose packages and layout a distribution follows, where its ID_LIKE
// does not.
var lineages = map[string]string{
	"debian": "debian", "ubuntu": "debian", "raspbian": "debian", "devuan": "debian", "deepin": "debian",
	"linuxmint": "debian", "kali": "debian", "pop": "debian", "cumulus-linux": "debian", "proxmox": "debian",
	"rhel": "redhat", "redhat": "redhat", "fedora": "redhat", "centos": "redhat", "ol": "redhat", "oracle": "redhat",
	"rocky": "redhat", "almalinux": "redhat", "amzn": "redhat", "scientific": "redhat", "cloudlinux": "redhat",
	"openeuler": "redhat", "anolis": "redhat", "virtuozzo": "redhat", "xenserver": "redhat", "kvmibm": "redhat",
	"sles": "suse", "sled": "suse", "suse": "suse", "opensuse": "suse", "opensuse-leap": "suse", "opensuse-tumbleweed": "suse",
	"arch": "archlinux", "archlinux": "archlinux", "manjaro": "archlinux",
	"alpine": "alpine", "gentoo": "gentoo", "slackware": "slackware", "mandriva": "mandriva", "mageia": "mandriva",
	"clear-linux-os": "clearlinux", "solaris": "solaris",
}

// lineage is whose packages and layout the release follows; its own id when it
// follows none we know.
func (r *release) lineage() string {
	for _, id := range append([]string{r.id}, strings.Fields(r.like)...) {
		if l, ok := lineages[id]; ok {
			return l
		}
	}
	return r.id
}

// likeOf guesses ID_LIKE of systems that do not say it, from the release files that
// only one lineage has.
func likeOf(id string, read reader) string {
	if _, known := lineages[id]; known {
		if id == "scientific" || id == "virtuozzo" || id == "cloudlinux" {
			return "rhel"
		}
		return ""
	}
	switch {
	case read("/etc/redhat-release") != nil || read("/etc/system-release") != nil:
		return "rhel"
	case read("/etc/debian_version") != nil:
		return "debian"
	}
	return ""
}

// parts splits a version into its first and second number.
func (r *release) parts() (major, minor string) {
	v := r.version
	if r.versionID != "" && !strings.HasPrefix(v, r.versionID) {
		v = r.versionID
	}
	head, rest, _ := strings.Cut(v, ".")
	if strings.ContainsAny(head, "/ ") { // "bookworm/sid"
		return "", ""
	}
	minor, _, _ = strings.Cut(rest, ".")
	if minor == "" {
		minor = r.minor
	}
	return head, minor
}
