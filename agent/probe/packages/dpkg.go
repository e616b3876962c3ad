package packages

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/bits"
	"path"
	"strings"
	"time"

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
	// windowBytes is read at once: large enough for few system calls, small enough for
	// the cache of a processor. Status files of large systems have 10 MB.
	windowBytes = 32 << 10
	// maxStanza bounds one stanza. Those of kernels and of TeX, the longest, have 100 KB.
	maxStanza = 4 << 20
)

// dpkgFiles are few, as they are looked at often: the folders info and updates do not
// change for good without the status file.
var dpkgFiles = []string{dpkgStatus, aptStates}

func dpkgFound(h *probe.Host) bool {
	// The folder of file lists alone means that the status file is lost, not that there is no dpkg.
	return exists(h, dpkgStatus) || exists(h, dpkgStatusDir) || exists(h, dpkgInfo)
}

func readDpkg(ctx context.Context, h *probe.Host) (found, error) {
	seen := look(h, dpkgFiles...)
	rows, problem := readStatusDir(ctx, h)
	f, err := h.Open(dpkgStatus)
	if errors.Is(err, fs.ErrNotExist) && len(rows) > 0 {
		return found{rows: rows, seen: look(h, dpkgStatus, dpkgStatusDir)}, problem // distroless
	}
	if err != nil {
		return found{rows: rows}, errors.Join(problem, err)
	}
	defer f.Close()
	status, removed, err := parseDpkg(ctx, f)
	if err == nil && len(status)+len(removed)+len(rows) == 0 {
		err = fmt.Errorf("%s is empty", dpkgStatus)
	}
	problem = errors.Join(problem, err, journal(h), addInstallTimes(ctx, h, status, removed), markAuto(h, status))
	return found{rows: append(rows, status...), seen: seen}, problem
}

// ParseDpkg reads a dpkg status file: a row for each package that is at least partly
// on the disk (neither not-installed nor config-files). The rows found stand beside an
// error that says what is wrong with the file.
//
// dpkg ends every stanza with an empty line. A file that does not end with one is cut,
// and its last stanza is left out. Nothing behind a NUL byte is read: it shows damage.
func ParseDpkg(data []byte) ([]facts.Row, error) {
	rows, _, err := parseDpkg(context.Background(), bytes.NewReader(data))
	return rows, err
}

// parseDpkg returns beside the rows the names of the packages that are not on the
// disk but have left configuration there.
func parseDpkg(ctx context.Context, in io.Reader) (rows []facts.Row, removed []string, problem error) {
	w, t := probe.NewWindow(in, windowBytes, maxStanza), new(texts)
	var got found
	var limits limits
	var problems probe.Problems
	for {
		if err := limits.reached(ctx, &got, t); err != nil {
			problems.Add(err)
			return got.rows, removed, problems.Err()
		}
		var s dpkgStanza
		n, ended := s.parse(w.Held())
		if !ended {
			if w.More() {
				continue // from the start of this stanza
			}
			problems.Add(w.Err())
			if len(w.Held()) > 0 {
				problems.Add(fmt.Errorf("cut off in the stanza at offset %d", w.Offset()))
			}
			return got.rows, removed, problems.Err()
		}
		row, err := s.row(t)
		if err != nil {
			limits.bad++
			problems.Add(fmt.Errorf("stanza at offset %d: %w", w.Offset(), err))
		}
		switch {
		case row != nil:
			got.rows = append(got.rows, row)
		case s.any && err == nil:
			name := string(s.at(s.name))
			removed = append(removed, name, name+":"+string(s.at(s.arch)))
			got.bytes += 2 * (len(name) + markBytes)
		}
		w.Take(n)
	}
}

// dpkgStanza holds the fields of one package by their places in its data: places are
// written without the barriers of the garbage collector that slices need.
type dpkgStanza struct {
	data                                                           []byte
	name, status, arch, version, source, maintainer, section, size place
	any                                                            bool // it has at least one line
}

type place struct{ from, to int }

func (s *dpkgStanza) at(p place) []byte { return s.data[p.from:p.to] }

// parse takes one stanza with the empty line that ends it and returns their length.
// dpkg writes the fields in a fixed order (fieldinfos in its lib/dpkg/parse.c), in which
// Version is the last that counts here: what follows is only searched for its end.
func (s *dpkgStanza) parse(data []byte) (n int, ended bool) {
	s.data = data
	for {
		end := lineEnd(data, n)
		if end < 0 {
			return n, false
		}
		if end == n {
			return n + 1, true
		}
		s.any = true
		if wanted := s.field(n, end); !wanted {
			return skipStanza(data, end)
		}
		n = end + 1
	}
}

// skipStanza returns the place behind the empty line that follows the newline at n.
func skipStanza(data []byte, n int) (int, bool) {
	for n++; ; n++ {
		end := bytes.IndexByte(data[n:], '\n') // lines are longer here: texts, dependencies
		if end <= 0 {
			return n + 1, end == 0
		}
		n += end
	}
}

// lineEnd returns where the line that begins at n ends, -1 if it does not. Most lines
// are short: looking at eight bytes at a time is quicker than a call of IndexByte.
func lineEnd(data []byte, n int) int {
	const newlines, ones, tops = 0x0a0a0a0a0a0a0a0a, 0x0101010101010101, 0x8080808080808080
	for ; n+8 <= len(data); n += 8 {
		x := binary.LittleEndian.Uint64(data[n:]) ^ newlines // a newline is a zero byte
		if hit := (x - ones) & ^x & tops; hit != 0 {         // its lowest bit is of the first of those
			return n + bits.TrailingZeros64(hit)/8
		}
	}
	for ; n < len(data); n++ {
		if data[n] == '\n' {
			return n
		}
	}
	return -1
}

// field takes a line that is not empty, and reports whether more are wanted.
func (s *dpkgStanza) field(from, to int) bool {
	switch line := s.data[from:to]; line[0] {
	case 'P':
		s.take(&s.name, line, "Package: ", from)
	case 'S':
		switch line[1%len(line)] {
		case 't':
			s.take(&s.status, line, "Status: ", from)
		case 'e':
			s.take(&s.section, line, "Section: ", from)
		case 'o':
			s.take(&s.source, line, "Source: ", from)
		}
	case 'A':
		s.take(&s.arch, line, "Architecture: ", from)
	case 'M':
		s.take(&s.maintainer, line, "Maintainer: ", from)
	case 'I':
		s.take(&s.size, line, "Installed-Size: ", from)
	case 'V':
		s.take(&s.version, line, "Version: ", from)
		return s.version.to == 0 || s.name.to == 0 || s.status.to == 0 || s.arch.to == 0 || s.maintainer.to == 0
	}
	return true
}

func (s *dpkgStanza) take(dst *place, line []byte, name string, from int) {
	if len(line) > len(name) && string(line[:len(name)]) == name {
		*dst = place{from + len(name), from + len(line)}
	}
}

// row turns the stanza into a row; nil if the package is not on the disk.
func (s *dpkgStanza) row(t *texts) (*facts.PackageRow, error) {
	if !s.any {
		return nil, nil
	}
	name, version := s.at(s.name), s.at(s.version)
	if len(name) == 0 {
		return nil, errors.New("no Package field")
	}
	hold, state := false, ""
	if status := s.at(s.status); string(status) != "install ok installed" {
		want, rest, _ := bytes.Cut(status, []byte{' '})
		flag, word, ok := bytes.Cut(rest, []byte{' '})
		if !ok {
			return nil, fmt.Errorf("package %.100s: status %.100q is not three words", name, status)
		}
		switch string(word) {
		case "not-installed", "config-files":
			return nil, nil
		case "installed":
			if string(flag) == "reinstreq" {
				state = "reinst-required"
			}
		default:
			state = t.same(word)
		}
		hold = string(want) == "hold"
	}
	if len(version) == 0 {
		return nil, fmt.Errorf("package %.100s: no Version field", name)
	}
	row := t.row()
	row.Name, row.Version, row.Arch, row.Source = t.string(name), t.string(version), t.same(s.at(s.arch)), "dpkg"
	row.Vendor, row.Category, row.Held, row.State = t.same(s.at(s.maintainer)), t.same(s.at(s.section)), hold, state
	s.setSource(row, t)
	if kib, ok := probe.ParseUint(s.at(s.size)); ok && kib < 1<<50 {
		row.SizeBytes = int64(kib) * 1024 // Debian policy 5.6.20: estimated, in KiB
	}
	return row, nil
}

// setSource reads "name" or "name (version)"; without the field the source package
// has the binary package's name and version.
func (s *dpkgStanza) setSource(row *facts.PackageRow, t *texts) {
	source := s.at(s.source)
	if len(source) == 0 {
		row.SourcePackage = row.Name
		return
	}
	name, rest, ok := bytes.Cut(source, []byte(" ("))
	row.SourcePackage = t.same(name)
	if ok {
		row.SourceVersion = t.same(bytes.TrimSuffix(rest, []byte(")")))
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
	dir, err := h.OpenDir(dpkgInfo)
	if err != nil {
		return nil // no times then: images often leave the folder out
	}
	defer dir.Close()
	byName := packagesByName(rows)
	for _, name := range removed {
		byName[name] = nil
	}
	missing := 0
	for entry := range dir.Names() {
		name, ok := strings.CutSuffix(entry, ".list")
		if !ok {
			continue
		}
		row, known := byName[name]
		if base, arch, ok := strings.Cut(name, ":"); ok && !known { // Multi-Arch: same
			row, known = byName[base]
			known = known && row != nil && row.Arch == arch
		}
		if !known {
			missing++
		}
		if row == nil || !known {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		// Whole seconds: the rest tells nobody anything and costs the collector a byte a package.
		row.InstalledAt = facts.TimeOf(dir.Modified(entry).Truncate(time.Second))
	}
	if err := dir.Err(); err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("%s lacks %d packages that have a file list in %s", dpkgStatus, missing, dpkgInfo)
	}
	return nil
}

// packagesByName has those that are installed for several architectures as name:arch too.
func packagesByName(rows []facts.Row) map[string]*facts.PackageRow {
	byName := make(map[string]*facts.PackageRow, len(rows))
	for _, r := range rows {
		row := r.(*facts.PackageRow)
		if other := byName[row.Name]; other != nil {
			byName[row.Name+":"+other.Arch], byName[row.Name+":"+row.Arch] = other, row
		}
		byName[row.Name] = row
	}
	return byName
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
			name = cutPrefix(name, line, "Package: ")
			arch = cutPrefix(arch, line, "Architecture: ")
			value = cutPrefix(value, line, "Auto-Installed: ")
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

// cutPrefix returns what follows prefix in the line, was if that is something else.
func cutPrefix(was, line []byte, prefix string) []byte {
	if rest, ok := bytes.CutPrefix(line, []byte(prefix)); ok {
		return rest
	}
	return was
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
func readStatusDir(ctx context.Context, h *probe.Host) ([]facts.Row, error) {
	dir, err := h.ReadDir(dpkgStatusDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var problems probe.Problems
	problems.Add(err)
	var rows []facts.Row
	t := new(texts)
	for _, e := range dir {
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		if e.IsDir() || strings.HasSuffix(e.Name(), ".md5sums") {
			continue
		}
		name := path.Join(dpkgStatusDir, e.Name())
		data, err := readHead(h, name)
		if err == nil {
			rows, err = appendStatusFile(rows, data, t)
		}
		if err != nil {
			problems.Add(fmt.Errorf("%s: %w", name, err))
		}
	}
	return rows, problems.Err()
}

func appendStatusFile(rows []facts.Row, data []byte, t *texts) ([]facts.Row, error) {
	if bytes.IndexByte(data, 0) >= 0 || !bytes.HasSuffix(data, []byte{'\n'}) {
		return rows, errors.New("cut off or damaged")
	}
	var s dpkgStanza
	s.parse(append([]byte("Status: install ok installed\n"), append(data, '\n')...))
	row, err := s.row(t)
	if row == nil {
		return rows, err
	}
	return append(rows, row), err
}
