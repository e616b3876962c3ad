package facts

// ContainerPackageRow is a package inside a running container of this host.
type ContainerPackageRow struct {
	Container     string   `json:"container" cbor:"1,keyasint" store:"own"` // its number, as in the section containers
	Name          string   `json:"name" cbor:"2,keyasint"`
	Version       string   `json:"version" cbor:"3,keyasint"`
	Arch          string   `json:"arch,omitempty" cbor:"4,keyasint,omitempty"`
	Source        string   `json:"source" cbor:"5,keyasint"` // package system: dpkg, rpm, apk, pip ...
	SourcePackage string   `json:"source_package,omitempty" cbor:"6,keyasint,omitempty"`
	SourceVersion string   `json:"source_version,omitempty" cbor:"7,keyasint,omitempty"` // where it differs from Version
	OS            string   `json:"os,omitempty" cbor:"8,keyasint,omitempty"`             // of the image: ID and VERSION_ID of os-release, whose advisories count
	Locations     []string `json:"locations,omitempty" cbor:"9,keyasint,omitempty"`      // inside the container, of packages of languages
}

// Key implements Row.
func (r *ContainerPackageRow) Key() string {
	return key(r.Container, r.Source, r.Name, r.Arch, r.Version)
}
