package packages

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// python reads the metadata of installed distributions, see
// https://packaging.python.org/en/latest/specifications/core-metadata/.
var python = language{
	source: "pip",
	places: []string{
		"/usr/lib/python*/dist-packages", "/usr/lib/python*/site-packages", "/usr/lib64/python*/site-packages",
		"/usr/local/lib/python*/dist-packages", "/usr/local/lib/python*/site-packages", "/usr/local/lib64/python*/site-packages",
		"/usr/local/pyenv/versions/*/lib/python*/site-packages",
		"~/.local/lib/python*/site-packages", "~/.pyenv/versions/*/lib/python*/site-packages",
		"/var/www/*/venv/lib/python*/site-packages", "/var/www/*/.venv/lib/python*/site-packages",
		"~/.local/share/pipx/venvs/*/lib/python*/site-packages", "~/.local/pipx/venvs/*/lib/python*/site-packages",
	},
	folder: func(name, _ string) bool { return name == "site-packages" || name == "dist-packages" },
	list: func(h *probe.Host, place string) ([]string, error) {
		marks, err := listMarks(h, place, ".dist-info", ".egg-info", ".egg", ".egg-link")
		// What pip has put aside to take it away, and left over. It looks over them itself.
		return slices.DeleteFunc(marks, func(m string) bool { return path.Base(m)[0] == '~' }), err
	},
	read: readPython,
}

// listMarks returns the entries of a folder with one of the endings, sorted.
func listMarks(h *probe.Host, place string, endings ...string) ([]string, error) {
	entries, err := h.ReadDir(place)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var out []string
	for _, e := range entries {
		for _, ending := range endings {
			if strings.HasSuffix(e.Name(), ending) && len(e.Name()) > len(ending) {
				out = append(out, path.Join(place, e.Name()))
			}
		}
	}
	return out, err
}

// pythonFiles are where the metadata of a distribution may be, by the way it was installed.
var pythonFiles = []string{"METADATA", "PKG-INFO", "EGG-INFO/PKG-INFO"}

func readPython(h *probe.Host, mark string, t *texts) (*facts.PackageRow, error) {
	info, err := h.Stat(mark)
	if err != nil {
		return nil, gone(err)
	}
	data, err := pythonMetadata(h, mark, info.IsDir())
	if err != nil || data == nil {
		return nil, gone(err) // left over: no metadata, no distribution
	}
	row, err := parsePython(data, t)
	if row != nil {
		row.InstalledAt = facts.TimeOf(info.ModTime().Truncate(time.Second))
	}
	return row, err
}

// pythonMetadata reads what describes a distribution, nil if nothing does.
func pythonMetadata(h *probe.Host, mark string, folder bool) ([]byte, error) {
	switch {
	case folder:
		for _, f := range pythonFiles {
			if data, err := readHead(h, path.Join(mark, f)); !errors.Is(err, fs.ErrNotExist) {
				return data, err
			}
		}
		return nil, nil
	case strings.HasSuffix(mark, ".egg"):
		return zippedEgg(h, mark)
	case strings.HasSuffix(mark, ".egg-link"):
		return linkedEgg(h, mark)
	}
	return readHead(h, mark) // an .egg-info may be the file itself
}

// zippedEgg reads the metadata in an egg that is an archive, see
// https://setuptools.pypa.io/en/latest/deprecated/python_eggs.html.
func zippedEgg(h *probe.Host, name string) ([]byte, error) {
	f, err := h.OpenAt(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := checkZip(f, f.Size()); err != nil {
		return nil, err
	}
	z, err := zip.NewReader(f, f.Size())
	if err != nil {
		return nil, err
	}
	for _, f := range z.File {
		if f.Name == "EGG-INFO/PKG-INFO" {
			return unzip(f)
		}
	}
	return nil, errors.New("no EGG-INFO/PKG-INFO in it")
}

// linkedEgg reads the metadata of a distribution that somebody works on (setup.py develop):
// the link is a file that names the folder in which its .egg-info is.
func linkedEgg(h *probe.Host, link string) ([]byte, error) {
	data, err := readHead(h, link)
	if err != nil {
		return nil, err
	}
	line, _ := probe.NextLine(data)
	dir := string(bytes.TrimSpace(line))
	if !path.IsAbs(dir) {
		dir = path.Join(path.Dir(link), dir)
	}
	if h.Remotes().Hold(dir) {
		return nil, fmt.Errorf("%.200q is on another machine", dir)
	}
	marks, err := listMarks(h, dir, ".egg-info")
	for _, m := range marks {
		if egg := strings.TrimSuffix(path.Base(m), ".egg-info"); canonical(egg) == canonical(strings.TrimSuffix(path.Base(link), ".egg-link")) {
			return readHead(h, path.Join(m, "PKG-INFO"))
		}
	}
	return nil, err
}

// canonical is the name of a distribution as indexes know it: capital letters and runs of
// "-", "_" and "." make no other one (PEP 503).
func canonical(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '-' || r == '_' || r == '.' }), "-")
}

// gone makes no error of what vanished since its folder was listed, or lies below what is no
// folder.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return err
}

// readHead reads the start of a file, up to maxMetadata.
func readHead(h *probe.Host, name string) ([]byte, error) {
	f, err := h.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxMetadata))
}

// ParsePython reads METADATA or PKG-INFO of a distribution.
func ParsePython(data []byte) ([]facts.Row, error) {
	row, err := parsePython(data, new(texts))
	if row == nil {
		return nil, err
	}
	row.Source = python.source
	return []facts.Row{row}, err
}

// parsePython reads the fields before the first empty line; what follows is a text.
func parsePython(data []byte, t *texts) (*facts.PackageRow, error) {
	row := t.row()
	for len(data) > 0 {
		line, rest := probe.NextLine(data)
		data = rest
		line = bytes.TrimRight(line, "\r")
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		switch string(name) {
		case "Name":
			row.Name = text(t, value)
		case "Version":
			row.Version = text(t, value)
		case "Author", "Maintainer":
			if row.Vendor == "" && string(value) != "UNKNOWN" {
				row.Vendor = text(t, value)
			}
		case "Author-email", "Maintainer-email":
			if row.Vendor == "" {
				row.Vendor = text(t, value)
			}
		}
	}
	if row.Name == "" || row.Version == "" {
		return nil, errors.New("no Name or Version")
	}
	return row, nil
}

// maxText bounds a value from a file that anybody may have written.
const maxText = 200

// text returns such a value as valid text without control characters.
func text(t *texts, b []byte) string {
	s := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(string(b[:min(len(b), maxText)]), ""))
	return t.same([]byte(s))
}
