package packages

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// languagePrefixes are how the names of packages with parts of a language mostly begin:
// their lists of files are looked at first, and mostly answer all.
var languagePrefixes = []string{"python", "ruby", "node", "npm", "libpython", "libruby"}

func likely(name string) bool {
	for _, p := range languagePrefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// dpkgOwned reads dpkg's lists of files: of the likely packages, and of all others if
// something is left.
func dpkgOwned(ctx context.Context, h *probe.Host, rows []facts.Row, o owners) error {
	return inRounds(ctx, rows, o, func(row *facts.PackageRow) ([]byte, error) {
		name := path.Join(dpkgInfo, row.Name)
		data, err := h.ReadFile(name + ".list")
		if errors.Is(err, fs.ErrNotExist) {
			data, err = h.ReadFile(name + ":" + row.Arch + ".list")
		}
		return data, gone(err)
	})
}

// pacmanOwned reads the lists of files of pacman, whose paths have no slash in front.
func pacmanOwned(ctx context.Context, h *probe.Host, rows []facts.Row, o owners) error {
	return inRounds(ctx, rows, o, func(row *facts.PackageRow) ([]byte, error) {
		data, err := h.ReadFile(path.Join(pacmanLocal, row.Name+"-"+row.Version, "files"))
		return bytes.ReplaceAll(data, []byte{'\n'}, []byte("\n/")), gone(err)
	})
}

// portageOwned reads portage's lists of files: lines "dir PATH", "obj PATH MD5 TIME" and
// "sym PATH -> TARGET TIME".
func portageOwned(ctx context.Context, h *probe.Host, rows []facts.Row, o owners) error {
	return inRounds(ctx, rows, o, func(row *facts.PackageRow) ([]byte, error) {
		data, err := h.ReadFile(path.Join(portageDB, row.Name+"-"+row.Version, "CONTENTS"))
		return portageFiles(data), gone(err)
	})
}

func portageFiles(contents []byte) []byte {
	files := make([]byte, 0, len(contents))
	for len(contents) > 0 {
		line, rest := probe.NextLine(contents)
		contents = rest
		kind, name, _ := bytes.Cut(line, []byte{' '})
		if string(kind) == "obj" { // its sum and its time
			name = name[:max(0, bytes.LastIndexByte(name, ' '))]
			name = name[:max(0, bytes.LastIndexByte(name, ' '))]
		}
		name, _, _ = bytes.Cut(name, []byte(" -> "))
		files = append(append(files, name...), '\n')
	}
	return files
}

// inRounds reads the likely packages first, then those that are called like what has no
// owner yet, then all others: each only if something is left. read returns the files of
// a package, one a line.
func inRounds(ctx context.Context, rows []facts.Row, o owners, read func(*facts.PackageRow) ([]byte, error)) error {
	var problems probe.Problems
	done := make(map[*facts.PackageRow]bool)
	for round := range 3 {
		left := o.left()
		bases := baseNames(left)
		for _, r := range rows {
			if len(left) == 0 {
				return problems.Err()
			}
			row := r.(*facts.PackageRow)
			if done[row] || round == 0 && !likely(row.Name) || round == 1 && !calledLike(row.Name, bases) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			done[row] = true
			files, err := read(row)
			problems.Add(err)
			if o.own(files) {
				left = slices.DeleteFunc(left, func(m string) bool { return o[m] })
			}
		}
	}
	return problems.Err()
}

// calledLike reports whether the name of a package, or a word of it, begins with one of
// the names: the egg-info of Mercurial is in mercurial-common, that of perf in linux-perf, that of six in dev-python/six.
func calledLike(name string, bases []string) bool {
	for _, b := range bases {
		if strings.HasPrefix(name, b) || strings.Contains(name, "-"+b) || strings.Contains(name, "/"+b) {
			return true
		}
	}
	return false
}

// baseNames are the names of the packages that marks stand for, in small letters.
func baseNames(marks []string) []string {
	var out []string
	for _, m := range marks {
		base, _, _ := strings.Cut(path.Base(m), "-")
		if strings.HasSuffix(m, "/package.json") {
			base = path.Base(path.Dir(m))
		}
		out = append(out, strings.ToLower(base))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
