package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const apkInstalled = "/lib/apk/db/installed"

const apkWorld = "/etc/apk/world"

func apkFound(h *probe.Host) bool { return exists(h, apkInstalled) }

func readAPK(ctx context.Context, h *probe.Host) (found, error) {
	seen := look(h, apkInstalled, apkWorld)
	f, err := h.Open(apkInstalled)
	if err != nil {
		return found{}, err
	}
	defer f.Close()
	got, problem := parseAPK(ctx, f)
	got.seen = seen
	if problem == nil && len(got.rows) == 0 {
		problem = fmt.Errorf("%s is empty", apkInstalled)
	}
	world, err := h.ReadFile(apkWorld)
	if err == nil {
		markAPKAuto(got.rows, string(world))
	}
	return got, errors.Join(problem, gone(err))
}

// ParseAPK reads apk's installed database: stanzas of "X:value" lines, each ended by
// an empty line. A file that does not end with one is cut, and its last stanza is left
// out. Cuts between two stanzas cannot be seen: apk replaces the file by rename.
func ParseAPK(data []byte) ([]facts.Row, error) {
	got, err := parseAPK(context.Background(), bytes.NewReader(data))
	return got.rows, err
}

func parseAPK(ctx context.Context, in io.Reader) (got found, problem error) {
	w := probe.NewWindow(in, windowBytes, maxStanza)
	p := apkParser{got: &got}
	p.begin()
	for {
		if end := bytes.IndexByte(w.Held(), '\n'); end >= 0 {
			p.line(w.Held()[:end])
			w.Take(end + 1)
			if err := p.limits.reached(ctx, &got, &p.texts); err != nil {
				p.problems.Add(err)
				return got, p.problems.Err()
			}
		} else if !w.More() {
			break
		}
	}
	p.problems.Add(w.Err())
	if len(w.Held()) > 0 || !p.blank {
		p.problems.Add(errors.New("cut off in the last package"))
	}
	return got, p.problems.Err()
}

// apkParser takes the installed database line by line.
type apkParser struct {
	texts    texts
	limits   limits // its records are lines
	problems probe.Problems
	got      *found
	row      *facts.PackageRow
	blank    bool   // no line of this package was seen
	path     []byte // F: the folder of the files that follow, then one of them
	dir      int    // length of the folder in path
}

func (p *apkParser) begin() {
	p.row, p.blank, p.dir = p.texts.row(), true, 0
	p.row.Source = "apk"
}

func (p *apkParser) line(line []byte) {
	if len(line) > 0 {
		p.blank = false
		p.field(line)
		return
	}
	switch {
	case p.blank:
		return
	case p.row.Name == "" || p.row.Version == "":
		p.limits.bad++
		p.problems.Add(fmt.Errorf("line %d: package without name or version", p.limits.records+1))
	default:
		p.got.rows = append(p.got.rows, p.row)
	}
	p.begin()
}

func (p *apkParser) field(line []byte) {
	if len(line) < 3 || line[1] != ':' {
		return
	}
	value := line[2:]
	switch line[0] {
	case 'F':
		p.path = append(append(p.path[:0], '/'), value...)
		p.dir = len(p.path)
		p.got.mark(p.path)
	case 'R':
		p.path = append(append(p.path[:p.dir], '/'), value...)
		p.got.mark(p.path)
	default:
		apkField(p.row, value, line[0], &p.texts)
	}
}

func apkField(row *facts.PackageRow, value []byte, field byte, t *texts) {
	switch field {
	case 'P':
		row.Name = t.string(value)
	case 'V':
		row.Version = t.string(value)
	case 'A':
		row.Arch = t.same(value)
	case 'o':
		row.SourcePackage = t.same(value)
	case 'm':
		row.Vendor = t.same(value)
	case 'I':
		row.SizeBytes = parseSize(string(value))
	}
}

// markAPKAuto marks what the administrator did not ask for in world: entries are
// names, perhaps with a version or a repository.
func markAPKAuto(rows []facts.Row, world string) {
	asked := make(map[string]bool)
	for _, entry := range strings.Fields(world) {
		if i := strings.IndexAny(entry, "<>=~@"); i >= 0 {
			entry = entry[:i]
		}
		asked[entry] = true
	}
	for _, r := range rows {
		row := r.(*facts.PackageRow)
		row.Auto = !asked[row.Name]
	}
}
