package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	dpkgStatus = "/var/lib/dpkg/status"
	dpkgInfo   = "/var/lib/dpkg/info"
	// dpkgUpdates is dpkg's journal: one file for each change since the status file
	// was written.
	dpkgUpdates = "/var/lib/dpkg/updates"
	// dpkgStatusDir holds a stanza per file in images without dpkg (distroless).
	dpkgStatusDir = "/var/lib/dpkg/status.d"
	aptStates     = "/var/lib/apt/extended_states"
)

var dpkgFiles = []string{dpkgStatus, dpkgStatusDir, aptStates, dpkgInfo, dpkgUpdates}

func dpkgFound(h *probe.Host) bool {
	// The folder of file lists alone means that the status file is lost, not that there is no dpkg.
	return exists(h, dpkgStatus) || exists(h, dpkgStatusDir) || exists(h, dpkgInfo)
}

func readDpkg(ctx context.Context, h *probe.Host) ([]facts.Row, error) {
	rows, problem := readStatusDir(h)
	data, err := h.ReadFile(dpkgStatus)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(rows) > 0: // distroless
	case err != nil:
		problem = errors.Join(problem, err)
	case len(data) == 0 && len(rows) == 0:
		problem = errors.Join(problem, fmt.Errorf("%s is empty", dpkgStatus))
	default:
		status, removed, err := parseDpkg(data)
		problem = errors.Join(problem, err, journal(h), addInstallTimes(ctx, h, status, removed), markAuto(h, status))
		rows = append(rows, status...)
	}
	return rows, problem
}

// ParseDpkg reads a dpkg status file: a row for each package that is at least partly
// on the disk (neither not-installed nor config-files). The rows found stand beside an
// error that says what is wrong with the file.
//
// dpkg ends every stanza with an empty line. A file that does not end with one is cut,
// and its last stanza is left out.
func ParseDpkg(data []byte) ([]facts.Row, error) {
	rows, _, err := parseDpkg(data)
	return rows, err
}

// parseDpkg returns beside the rows the names of the packages that are not on the
// disk but have left configuration there.
func parseDpkg(data []byte) (rows []facts.Row, removed []string, problem error) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		problem = fmt.Errorf("damaged: NUL byte at offset %d", i)
	}
	const bytesPerStanza = 800 // mean of a Debian 12 server
	rows = make([]facts.Row, 0, len(data)/bytesPerStanza+1)
	in := make(interner)
	for offset := 0; offset < len(data); {
		var s dpkgStanza
		n, ended := s.parse(data[offset:])
		if !ended {
			problem = errors.Join(problem, fmt.Errorf("cut off in the stanza at offset %d", offset))
			break
		}
		row, err := s.row(in)
		if err != nil {
			problem = errors.Join(problem, fmt.Errorf("stanza at offset %d: %w", offset, err))
		}
		switch {
		case row != nil:
			rows = append(rows, row)
		case s.any && err == nil:
			removed = append(removed, string(s.name), string(s.name)+":"+string(s.arch))
		}
		offset += n
	}
	return rows, removed, problem
}

// dpkgStanza holds the fields of one package, as slices of the file.
type dpkgStanza struct {
	name, status, arch, version, source, maintainer, section, size []byte
	any                                                            bool // it has at least one line
}

// parse takes one stanza with the empty line that ends it and returns their length.
// dpkg writes the fields in a fixed order (fieldinfos in its lib/dpkg/parse.c), in which
// Version is the last that counts here: what follows is skipped in one search.
func (s *dpkgStanza) parse(data []byte) (n int, ended bool) {
	for n < len(data) {
		if s.complete() {
			end := bytes.Index(data[n-1:], []byte("\n\n"))
			return n + end + 1, end >= 0
		}
		end := bytes.IndexByte(data[n:], '\n')
		if end < 0 {
			return n, false
		}
		line := data[n : n+end]
		n += end + 1
		if end == 0 {
			return n, true
		}
		s.any = true
		if line[0] != ' ' && line[0] != '\t' {
			s.field(line)
		}
	}
	return n, false
}

func (s *dpkgStanza) complete() bool {
	return s.version != nil && s.name != nil && s.status != nil && s.arch != nil && s.maintainer != nil
}

func (s *dpkgStanza) field(line []byte) {
	switch line[0] {
	case 'P':
		take(&s.name, line, "Package: ")
	case 'S':
		take(&s.status, line, "Status: ")
		take(&s.section, line, "Section: ")
		take(&s.source, line, "Source: ")
	case 'A':
		take(&s.arch, line, "Architecture: ")
	case 'V':
		take(&s.version, line, "Version: ")
	case 'M':
		take(&s.maintainer, line, "Maintainer: ")
	case 'I':
		take(&s.size, line, "Installed-Size: ")
	}
}

func take(dst *[]byte, line []byte, name string) {
	if len(line) > len(name) && string(line[:len(name)]) == name {
		*dst = line[len(name):]
	}
}

// row turns the stanza into a row; nil if the package is not on the disk.
func (s *dpkgStanza) row(in interner) (*facts.PackageRow, error) {
	if !s.any {
		return nil, nil
	}
	if len(s.name) == 0 {
		return nil, errors.New("no Package field")
	}
	want, rest, _ := bytes.Cut(s.status, []byte{' '})
	flag, state, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		return nil, fmt.Errorf("package %s: status %q is not three words", s.name, s.status)
	}
	switch string(state) {
	case "not-installed", "config-files":
		return nil, nil
	}
	if len(s.version) == 0 {
		return nil, fmt.Errorf("package %s: no Version field", s.name)
	}
	text := string(s.name) + string(s.version) // one allocation for both
	row := &facts.PackageRow{
		Name: text[:len(s.name)], Version: text[len(s.name):], Arch: in.string(s.arch), Source: "dpkg",
		Vendor: in.string(s.maintainer), Category: in.string(s.section),
		Held: string(want) == "hold",
	}
	if string(state) != "installed" {
		row.State = in.string(state)
	} else if string(flag) == "reinstreq" {
		row.State = "reinst-required"
	}
	s.setSource(row, in)
	if kib, err := strconv.ParseInt(string(s.size), 10, 64); err == nil && kib >= 0 && kib < 1<<50 {
		row.SizeBytes = kib * 1024 // Debian policy 5.6.20: estimated, in KiB
	}
	return row, nil
}

// setSource reads "name" or "name (version)"; without the field the source package
// has the binary package's name and version.
func (s *dpkgStanza) setSource(row *facts.PackageRow, in interner) {
	if len(s.source) == 0 {
		row.SourcePackage = row.Name
		return
	}
	name, rest, ok := bytes.Cut(s.source, []byte(" ("))
	row.SourcePackage = in.string(name)
	if ok {
		row.SourceVersion = in.string(bytes.TrimSuffix(rest, []byte(")")))
	}
}

// journal reports updates that dpkg has noted but not yet written to the status file:
// it is at work, or was interrupted.
func journal(h *probe.Host) error {
	dir, err := h.ReadDir(dpkgUpdates)
	if err != nil || len(dir) == 0 {
		return nil // no journal, or none that this user may see
	}
	return fmt.Errorf("dpkg is at work or was interrupted: %d changes wait in %s", len(dir), dpkgUpdates)
}

// addInstallTimes takes the time of each package's file list, which dpkg writes at
// installation and upgrade. A file list without its package means that stanzas are
// missing from the status file, which shows a file that was cut between two stanzas.
func addInstallTimes(ctx context.Context, h *probe.Host, rows []facts.Row, removed []string) error {
	dir, err := h.ReadDir(dpkgInfo)
	if err != nil {
		return nil // no times then: images often leave the folder out
	}
	byName := make(map[string]*facts.PackageRow, 2*len(rows))
	for _, r := range rows {
		row := r.(*facts.PackageRow)
		byName[row.Name], byName[row.Name+":"+row.Arch] = row, row
	}
	for _, name := range removed {
		byName[name] = nil
	}
	missing := 0
	for _, e := range dir {
		name, ok := strings.CutSuffix(e.Name(), ".list")
		if !ok {
			continue
		}
		row, known := byName[name]
		if !known {
			missing++
		}
		if row == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			row.InstalledAt = facts.TimeOf(info.ModTime())
		}
	}
	if missing > 0 {
		return fmt.Errorf("%s lacks %d packages that have a file list in %s", dpkgStatus, missing, dpkgInfo)
	}
	return nil
}

// markAuto reads apt's record of what came as a dependency only.
func markAuto(h *probe.Host, rows []facts.Row) error {
	data, err := h.ReadFile(aptStates)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	auto := make(map[string]bool)
	for stanza := range bytes.SplitSeq(data, []byte("\n\n")) {
		var name, arch, value []byte
		for line := range bytes.SplitSeq(stanza, []byte{'\n'}) {
			take(&name, line, "Package: ")
			take(&arch, line, "Architecture: ")
			take(&value, line, "Auto-Installed: ")
		}
		if string(value) == "1" {
			auto[string(name)+":"+string(arch)] = true
		}
	}
	native := nativeArch(rows)
	for _, r := range rows {
		row := r.(*facts.PackageRow)
		arch := row.Arch
		if arch == "all" { // apt files these under the native architecture
			arch = native
		}
		row.Auto = auto[row.Name+":"+arch]
	}
	return nil
}

// nativeArch is the architecture of dpkg itself.
func nativeArch(rows []facts.Row) string {
	for _, r := range rows {
		if row := r.(*facts.PackageRow); row.Name == "dpkg" {
			return row.Arch
		}
	}
	return ""
}

// readStatusDir reads the stanzas of status.d, which have no Status field: what is
// listed is installed. The .md5sums files beside them are not stanzas.
func readStatusDir(h *probe.Host) ([]facts.Row, error) {
	dir, err := h.ReadDir(dpkgStatusDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	problem := err
	var rows []facts.Row
	in := make(interner)
	for _, e := range dir {
		if e.IsDir() || strings.HasSuffix(e.Name(), ".md5sums") {
			continue
		}
		name := path.Join(dpkgStatusDir, e.Name())
		data, err := h.ReadFile(name)
		if err == nil {
			rows, err = appendStatusFile(rows, data, in)
		}
		if err != nil {
			problem = errors.Join(problem, fmt.Errorf("%s: %w", name, err))
		}
	}
	return rows, problem
}

func appendStatusFile(rows []facts.Row, data []byte, in interner) ([]facts.Row, error) {
	if bytes.IndexByte(data, 0) >= 0 || !bytes.HasSuffix(data, []byte{'\n'}) {
		return rows, errors.New("cut off or damaged")
	}
	s := dpkgStanza{}
	s.parse(append(data, '\n'))
	s.status = []byte("install ok installed")
	row, err := s.row(in)
	if row == nil {
		return rows, err
	}
	return append(rows, row), err
}
