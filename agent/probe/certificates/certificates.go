// Package certificates finds X.509 certificates: the section certificates.
//
// It looks into the folders where servers keep theirs, at the files that
// configurations and command lines name, and at what the system trusts. Of the
// authorities that come with the distribution only the bundle is told, as one row;
// those that an administrator added have a row each, and so has every certificate
// that was put into the bundle by hand.
//
// Of a PEM file only the blocks with certificates are decoded, never those with keys.
// Java key stores are read without their password, which guards the keys alone;
// PKCS#12 files are encrypted as a whole and left out.
//
// A file is parsed again only when its stamp has changed: the probe keeps what it made
// of each file.
package certificates

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the section certificates.
func New() probe.Probe { return &certProbe{files: make(map[string]*file)} }

type certProbe struct {
	files   map[string]*file // what is known of files, by path
	trusted trusted
}

// file is what was made of one file.
type file struct {
	stamp  probe.Stamp
	certs  []*facts.CertificateRow // rows without role and path
	names  []string                // of a configuration: paths of certificates in it; of a bundle: fingerprints
	failed error
	broken error // certificates that it names and does not hold
	seen   bool  // in the present run
}

const (
	maxRows = 5_000
	// maxFileBytes bounds one file: the bundle of a system has 220 KB, Java's 1.2 MB.
	maxFileBytes = 4 << 20
)

// Info implements probe.Probe.
func (*certProbe) Info() probe.Info {
	return probe.Info{
		Name:     "certificates",
		Sections: []facts.ID{facts.Certificates},
		Timeout:  10 * time.Second,
		MaxItems: maxRows,
		MaxBytes: maxFileBytes,
		Watch:    []string{"/etc/ssl/certs", "/etc/letsencrypt/live", "/usr/local/share/ca-certificates", "/etc/pki/ca-trust/source/anchors"},
	}
}

// Collect implements probe.Probe.
func (p *certProbe) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	s := &search{ctx: ctx, host: h, probe: p, remotes: h.Remotes(), roles: make(map[string]string), users: make(map[string][]string)}
	s.look()
	if err := h.Holds("/etc"); err != nil {
		return err
	}
	known := s.bundle()
	for _, path := range slices.Sorted(maps.Keys(s.roles)) {
		if ctx.Err() != nil {
			break
		}
		s.report(r, path)
	}
	for _, row := range known {
		r.Add(facts.Certificates, row)
	}
	for path, f := range p.files {
		if !f.seen && ctx.Err() == nil {
			delete(p.files, path)
		}
		f.seen = false
	}
	s.problem(ctx.Err())
	r.Problem(facts.Certificates, s.problems.Err())
	remarks := s.missing()
	if s.away {
		remarks = append(remarks, "those on remote file systems are not listed")
	}
	if len(remarks) > 0 {
		r.Remark(facts.Certificates, strings.Join(remarks, "; "))
	}
	return nil
}

// file returns what a file holds; nil for one on a remote file system.
func (s *search) file(path string) *file {
	if !s.remotes.Hold(path) {
		return s.probe.read(s.host, path)
	}
	if strings.HasPrefix(path, served+"/") {
		return s.probe.files[path] // nil: the helper has not read it
	}
	s.away = true
	return nil
}

// report adds the certificates of a file.
func (s *search) report(r *probe.Report, path string) {
	f := s.file(path)
	if f == nil {
		return
	}
	if f.failed != nil && !probe.Absent(f.failed) || f.broken != nil {
		r.Hidden(facts.Certificates, errors.Join(f.failed, f.broken), func(row facts.Row) bool { return row.(*facts.CertificateRow).Path == path })
	}
	if len(f.certs) > maxOfFile { // authorities of Java or of an application
		r.Add(facts.Certificates, bundleRow(path, sumsOf(f.certs)))
		return
	}
	for _, c := range f.certs {
		r.Add(facts.Certificates, s.row(path, s.roles[path], c))
	}
}

func denied(err error) bool { return errors.Is(err, fs.ErrPermission) }

func sumsOf(certs []*facts.CertificateRow) []string {
	sums := make([]string, 0, len(certs))
	for _, c := range certs {
		sums = append(sums, c.SHA256)
	}
	return sums
}

// row is a copy of what is known of a certificate, with the place where it was found.
func (s *search) row(path, role string, c *facts.CertificateRow) *facts.CertificateRow {
	row := *c
	row.Path, row.Role, row.UsedBy = path, role, s.users[path]
	return &row
}

// maxOfFile is how many certificates of one file have a row each; a chain has a few.
const maxOfFile = 20

// read returns what a file holds, from memory when the file has not changed.
func (p *certProbe) read(h *probe.Host, path string) *file {
	return p.keep(h, path, func(f *file, b []byte) { f.parse(path, b) })
}

func (f *file) parse(path string, b []byte) {
	f.certs = Parse(b)
	f.broken = errors.Join(broken(path, b, len(f.certs)), malformed(path, f.certs))
}

// keep reads a file through parse unless it is known.
func (p *certProbe) keep(h *probe.Host, path string, parse func(*file, []byte)) *file {
	stamp := h.Stamp(path)
	f, ok := p.files[path]
	if ok && f.stamp == stamp && stamp != (probe.Stamp{}) {
		f.seen = true
		return f
	}
	f = &file{stamp: stamp, seen: true}
	p.files[path] = f
	if info, err := h.Stat(path); err == nil && info.IsDir() {
		return f // configurations name folders, too
	}
	b, err := h.ReadFile(path)
	if err == nil {
		parse(f, b)
		clear(b) // it may have held a key
	} else {
		f.failed, f.stamp = err, probe.Stamp{} // look again next time
	}
	return f
}

// Parsers returns the format that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{{
		Kind: "x509", MaxBytes: maxFileBytes, Help: "PEM, DER or Java key store: certificates", Form: probe.Form{Want: "a certificate in PEM, DER or JKS", Binary: true},
		Parse: func(in probe.Input) (any, error) {
			rows := []facts.Row{}
			certs := Parse(in.Data)
			for _, c := range certs {
				c.Path, c.Role = in.Name, roleFound
				rows = append(rows, c)
			}
			if b, e := bytes.Count(in.Data, []byte("-----BEGIN ")), bytes.Count(in.Data, []byte("-----END ")); b != e {
				return rows, fmt.Errorf("%d blocks begin and %d end", b, e)
			}
			return rows, malformed(in.Name, certs)
		},
	}}
}

func sortedUnique(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
