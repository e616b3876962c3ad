package facts

import "strconv"

// RepositoryRow is a configured source of packages.
type RepositoryRow struct {
	Manager       string   `json:"manager" cbor:"1,keyasint"`                           // apt, dnf, yum, zypper, apk, pacman, snap, flatpak
	ID            string   `json:"id" cbor:"2,keyasint"`                                // as the manager names it; apt: URI and suite
	Kind          string   `json:"kind" cbor:"3,keyasint"`                              // deb, deb-src, rpm-md, plaindir, apk, pacman, snap, ostree
	URI           string   `json:"uri,omitempty" cbor:"4,keyasint,omitempty"`           // where it lies; passwords and tokens are masked
	Suite         string   `json:"suite,omitempty" cbor:"5,keyasint,omitempty"`         // apt
	Components    []string `json:"components,omitempty" cbor:"6,keyasint,omitempty"`    // apt, in the order given
	Architectures []string `json:"architectures,omitempty" cbor:"7,keyasint,omitempty"` // where it is limited to some
	Enabled       bool     `json:"enabled" cbor:"8,keyasint"`
	Signing       string   `json:"signing,omitempty" cbor:"9,keyasint,omitempty"`    // what the manager must find signed: index, packages, "index, packages", optional, none
	SignedBy      string   `json:"signed_by,omitempty" cbor:"10,keyasint,omitempty"` // keys that are accepted, where not all of the system's
	Priority      *int     `json:"priority,omitempty" cbor:"11,keyasint,omitempty"`  // rpm: lower goes first
	File          string   `json:"file,omitempty" cbor:"12,keyasint,omitempty"`      // where it is configured
}

// Key implements Row.
func (r *RepositoryRow) Key() string { return key(r.Manager, r.Kind, r.ID, r.File) }

// PackageIndexRow is the state of the index of one repository that a patch verdict
// rests on.
type PackageIndexRow struct {
	Manager    string `json:"manager" cbor:"1,keyasint"`
	Repository string `json:"repository" cbor:"2,keyasint"`                                     // id of the repository
	Origin     string `json:"origin,omitempty" cbor:"3,keyasint,omitempty"`                     // "Debian:12/stable-security"
	Security   bool   `json:"security" cbor:"4,keyasint"`                                       // carries security updates only
	Time       Time   `json:"time,omitempty,omitzero" cbor:"5,keyasint,omitempty" store:"host"` // when it was last fetched or confirmed by the server
	Published  Time   `json:"published,omitempty,omitzero" cbor:"6,keyasint,omitempty"`         // when the repository made it
	ValidUntil Time   `json:"valid_until,omitempty,omitzero" cbor:"7,keyasint,omitempty"`       // when the repository itself calls it expired
	Signature  string `json:"signature,omitempty" cbor:"8,keyasint,omitempty"`                  // signed: as the manager took it, not verified by us; unsigned; unchecked: the configuration asks for no check
	Error      string `json:"error,omitempty" cbor:"9,keyasint,omitempty"`                      // why the index does not count
	File       string `json:"file,omitempty" cbor:"10,keyasint,omitempty"`                      // of the index or what signs it
}

// Key implements Row.
func (r *PackageIndexRow) Key() string { return key(r.Manager, r.Repository) }

// RestartRow is a program that runs on files which were replaced or removed since it
// was started, most often libraries: it must be started again to run the new ones.
type RestartRow struct {
	Unit      string   `json:"unit,omitempty" cbor:"1,keyasint,omitempty"`      // service of the process, named as in services
	Process   string   `json:"process" cbor:"2,keyasint"`                       // its name
	Container string   `json:"container,omitempty" cbor:"3,keyasint,omitempty"` // as in the section containers
	PID       int      `json:"pid" cbor:"4,keyasint" store:"host"`              // the lowest, where there are several alike
	Exe       string   `json:"exe,omitempty" cbor:"5,keyasint,omitempty"`
	Files     []string `json:"files" cbor:"6,keyasint"`                        // replaced or removed, sorted
	Packages  []string `json:"packages,omitempty" cbor:"7,keyasint,omitempty"` // that own the files, where it is cheap to tell
	UID       int      `json:"uid" cbor:"8,keyasint"`
}

// Key implements Row: workers of one service are one row.
func (r *RestartRow) Key() string { return key(r.Container, r.Unit, strconv.Itoa(r.UID), r.Process) }
