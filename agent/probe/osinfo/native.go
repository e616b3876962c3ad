package osinfo

import (
	"strings"

	"atalaya/shared/facts"
)

// native is what systems that are not Linux answer by system call.
type native struct {
	system   string // uname's: Darwin, FreeBSD
	hostname string
	names    uname
	version  string // of the product where it has one beside the kernel's
	build    string
}

// row makes the row of a Unix that is not Linux; rel is what its release files say,
// which FreeBSD has and Darwin has not.
func (n native) row(rel release) *facts.OSRow {
	row := &facts.OSRow{Family: strings.ToLower(n.system), Hostname: n.hostname, Arch: n.names.machine}
	if rel.id != "" && rel.id != "linux" {
		rel.describe(row)
	} else {
		rel = release{id: row.Family, product: n.system, version: n.version, versionID: n.version}
		if n.system == "Darwin" {
			rel.product, rel.vendor = "macOS", "Apple"
		}
		rel.pretty = strings.TrimSpace(rel.product + " " + n.version)
		rel.describe(row)
		row.BuildID = n.build
	}
	if row.Version == "" || n.version == "" && strings.HasPrefix(n.names.release, row.Version) {
		row.Version = n.names.release // FreeBSD's has the patch level: 14.1-RELEASE-p5
	}
	return row
}

// windows is what the registry says of a Windows system
// (HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion).
type windows struct {
	hostname       string
	product        string // "Windows 10 Pro": Windows 11 says so too
	displayVersion string // 23H2
	editionID      string // Professional
	build, ubr     string // 22631, 3880
	major, minor   string
	arch           string
	installed      facts.Time
}

// windows11 is the first build of Windows 11, whose ProductName still says 10.
const windows11 = 22000

func (w windows) row(build int) *facts.OSRow {
	name := w.product
	if build >= windows11 {
		name = strings.Replace(name, "Windows 10", "Windows 11", 1)
	}
	kernel := w.kernelVersion()
	return &facts.OSRow{
		ID: "windows", Family: "windows", Lineage: "windows", Product: name, Manufacturer: "Microsoft",
		Name:    strings.TrimSpace(name + " " + w.displayVersion),
		Version: kernel, VersionID: kernel, VersionName: w.displayVersion, Major: w.major, Minor: w.minor,
		VariantID: w.editionID, BuildID: w.build, Arch: w.arch, Hostname: w.hostname, InstalledAt: w.installed,
	}
}

func (w windows) kernelVersion() string {
	return strings.Trim(strings.Join([]string{w.major, w.minor, w.build, w.ubr}, "."), ".")
}
