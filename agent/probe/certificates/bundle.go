package certificates

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// bundles are the files with all authorities that a system trusts; the first that is
// there counts.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
	"/var/lib/ca-certificates/ca-bundle.pem",            // SUSE
	"/etc/ssl/cert.pem",
}

// distributed are where distributions keep the authorities of which they make the bundle.
var distributed = []string{
	"/usr/share/ca-certificates/*.crt", "/usr/share/ca-certificates/*/*.crt", "/usr/share/pki/ca-trust-source/*",
	"/usr/share/pki/trust/*", "/usr/share/pki/trust/anchors/*", "/usr/share/ca-certificates/trust-source/*",
}

// maxAdded is how many authorities that no file of the distribution has may be in the
// bundle. With more we do not know the distribution's files, and tell none.
const maxAdded = 50

// trusted is what was made of a bundle.
type trusted struct {
	path  string
	stamp probe.Stamp
	rows  []*facts.CertificateRow
	// broken says which of its certificates cannot be read.
	broken error
}

// bundle tells what the system trusts: one row for all, and one for each that neither
// the distribution nor a folder of anchors accounts for. As long as the bundle is the
// same, so are the rows: a distribution makes it anew when its own files change.
func (s *search) bundle() []*facts.CertificateRow {
	for _, name := range bundles {
		if s.remotes.Hold(name) {
			s.away = true
			continue
		}
		stamp := s.host.Stamp(name)
		if stamp == (probe.Stamp{}) {
			if _, err := s.host.Stat(name); !probe.Absent(err) {
				s.problem(err)
			}
			continue
		}
		delete(s.roles, name)
		if t := s.probe.trusted; t.path == name && t.stamp == stamp {
			s.problem(t.broken)
			return t.rows
		}
		sums := s.sums(name)
		f := s.probe.files[name]
		broken := f.broken
		if f.failed == nil && broken == nil && len(sums) == 0 {
			if _, broken = s.host.ReadFile(name); broken == nil { // else it says why: a folder
				broken = noneIn(name)
			}
		}
		s.problems.Add(f.failed, broken)
		if len(sums) > 0 {
			rows := append([]*facts.CertificateRow{bundleRow(name, sums)}, s.added(name, sums)...)
			s.probe.trusted = trusted{name, stamp, rows, broken}
			return rows
		}
	}
	return nil
}

// added describes the certificates of a bundle that nothing accounts for.
func (s *search) added(name string, sums []string) []*facts.CertificateRow {
	known := s.accounted()
	unknown := func(sum string) bool { return !known[sum] }
	if len(known) == 0 || len(sums) < maxCerts && !slices.ContainsFunc(sums, unknown) {
		return nil
	}
	var rows []*facts.CertificateRow
	if b, err := s.host.ReadFile(name); err == nil { // else it has just changed: the next reading tells
		eachDER(b, func(der []byte) bool {
			if unknown(fingerprint(der)) {
				row := s.row(name, roleAnchor, describe(der))
				row.Position = len(rows) + 1 // 0 is the bundle itself
				rows = append(rows, row)
			}
			return len(rows) <= maxAdded
		})
	}
	if len(rows) > maxAdded {
		return nil
	}
	return rows
}

// sums are the fingerprints of the certificates of a file: of authorities that come
// with the distribution no more is wanted, and to parse them takes most of the time.
func (s *search) sums(name string) []string {
	f := s.probe.keep(s.host, name, func(f *file, b []byte) {
		eachDER(b, func(der []byte) bool {
			f.names = append(f.names, fingerprint(der))
			return len(f.names) < maxCerts
		})
		f.broken = broken(name, b, len(f.names))
	})
	return f.names
}

// accounted are the fingerprints of the authorities in files of the distribution and of
// administrators.
func (s *search) accounted() map[string]bool {
	known := make(map[string]bool)
	for _, pattern := range distributed {
		files, err := s.host.Glob(pattern)
		if err != nil || s.ctx.Err() != nil {
			return nil
		}
		for _, name := range files {
			for _, sum := range s.sums(name) {
				known[sum] = true
			}
		}
	}
	if len(known) == 0 {
		return nil
	}
	for name, role := range s.roles {
		if role != roleAnchor {
			continue
		}
		if f := s.file(name); f != nil {
			for _, c := range f.certs {
				known[c.SHA256] = true
			}
		}
	}
	return known
}

// bundleRow tells a file with many authorities as a whole.
func bundleRow(name string, sums []string) *facts.CertificateRow {
	sum := sha256.Sum256([]byte(strings.Join(slices.Sorted(slices.Values(sums)), "\n")))
	return &facts.CertificateRow{Path: name, Role: roleBundle, SHA256: hex.EncodeToString(sum[:]), Count: len(sums), CA: true}
}
