package packages

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	// maxEntries bounds the files of an archive, which are listed in memory: 250 bytes each.
	maxEntries = 20_000
	// maxProperties bounds one description, inflated.
	maxProperties = 64 << 10
	// maxDescribed bounds the libraries in one archive.
	maxDescribed = 2000
	// maxDirectory bounds the list of the files of one archive, in bytes, and maxDirectories
	// those of an archive and all in it. A file may list more than its end says.
	maxDirectory   = 4 << 20
	maxDirectories = 64 << 20
)

func readJar(ctx context.Context, f *probe.Random) ([]*facts.PackageRow, error) {
	j := jar{texts: new(texts)}
	err := j.read(ctx, f, f.Size(), f.Name(), 0)
	return j.rows, err
}

// jar gathers what an archive is made of, with the archives in it (Spring Boot, war).
type jar struct {
	texts  *texts
	rows   []*facts.PackageRow
	listed int64 // bytes of the lists of files that were read
}

// listing reads the list of the files in an archive, and then anything.
type listing struct {
	io.ReaderAt
	read, limit int64
}

// ReadAt implements io.ReaderAt.
func (l *listing) ReadAt(p []byte, at int64) (int, error) {
	if l.read += int64(len(p)); l.limit > 0 && l.read > l.limit {
		return 0, errLong
	}
	return l.ReaderAt.ReadAt(p, at)
}

var errLong = errors.New("its list of files is too long")

func (j *jar) read(ctx context.Context, r io.ReaderAt, size int64, name string, depth int) error {
	if err := checkZip(r, size); err != nil {
		j.byName(name)
		return err
	}
	list := &listing{ReaderAt: r, limit: max(min(maxDirectory, maxDirectories-j.listed), 1)}
	z, err := zip.NewReader(list, size)
	j.listed, list.limit = j.listed+list.read, 0
	if err != nil {
		j.byName(name)
		return fmt.Errorf("archive: %w", err)
	}
	before := len(j.rows)
	var manifest *zip.File
	var problems probe.Problems
	for _, f := range z.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if len(j.rows) >= maxDescribed {
			return fmt.Errorf("more than %d libraries", maxDescribed)
		}
		switch {
		case strings.HasPrefix(f.Name, "META-INF/maven/") && path.Base(f.Name) == "pom.properties":
			if data, err := unzip(f); err == nil {
				j.maven(data)
			}
		case f.Name == "META-INF/MANIFEST.MF":
			manifest = f
		case strings.HasSuffix(f.Name, ".jar") && depth == 0:
			problems.Add(j.inner(ctx, r, f))
		}
	}
	if len(j.rows) == before || depth == 0 && !j.has(name) {
		j.own(manifest, name)
	}
	return problems.Err()
}

// inner reads an archive inside of another, where it lies uncompressed; of a compressed
// one its name tells.
func (j *jar) inner(ctx context.Context, r io.ReaderAt, f *zip.File) error {
	at, err := f.DataOffset()
	if err != nil || f.Method != zip.Store {
		j.byName(f.Name)
		return nil
	}
	if err := j.read(ctx, io.NewSectionReader(r, at, int64(f.CompressedSize64)), int64(f.CompressedSize64), f.Name, 1); err != nil {
		return fmt.Errorf("%.100q: %w", f.Name, err)
	}
	return nil
}

// has reports whether the archive's own library is told already.
func (j *jar) has(file string) bool {
	name, _ := versionOf(file)
	for _, r := range j.rows {
		if strings.HasSuffix(r.Name, ":"+name) || r.Name == name {
			return true
		}
	}
	return false
}

// own tells the archive itself by its manifest, or by its name.
func (j *jar) own(manifest *zip.File, file string) {
	if manifest == nil {
		j.byName(file)
		return
	}
	data, err := unzip(manifest)
	if err != nil {
		j.byName(file)
		return
	}
	title := property(data, ":", "Bundle-SymbolicName", "Implementation-Title")
	title, _, _ = bytes.Cut(title, []byte(";"))
	version := property(data, ":", "Bundle-Version", "Implementation-Version", "Specification-Version")
	if len(title) == 0 || len(version) == 0 {
		j.byName(file)
		return
	}
	j.add(string(title), string(version))
}

func (j *jar) byName(file string) {
	if name, version := versionOf(file); version != "" {
		j.add(name, version)
	}
}

func (j *jar) maven(data []byte) {
	group, name, version := property(data, "=", "groupId"), property(data, "=", "artifactId"), property(data, "=", "version")
	if len(group) > 0 && len(name) > 0 {
		j.add(string(group)+":"+string(name), string(version))
	}
}

func (j *jar) add(name, version string) {
	row := j.texts.row()
	row.Source, row.Name, row.Version = "maven", text(j.texts, []byte(name)), text(j.texts, []byte(version))
	if row.Name != "" && row.Version != "" {
		j.rows = append(j.rows, row)
	}
}

// property returns the value of the first of the names that a text has.
func property(data []byte, between string, names ...string) []byte {
	for _, name := range names {
		for rest := data; len(rest) > 0; {
			var line []byte
			line, rest = probe.NextLine(rest)
			if key, value, ok := bytes.Cut(line, []byte(between)); ok && string(bytes.TrimSpace(key)) == name {
				return bytes.TrimSpace(value)
			}
		}
	}
	return nil
}

// unzip inflates one description, and no more than that of what claims to be one.
func unzip(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, maxProperties))
}

// checkZip looks at the end of an archive how many files it lists, before they are
// listed: section 4.3.16 of PKWARE's APPNOTE.
func checkZip(r io.ReaderAt, size int64) error {
	const record, comment = 22, 1 << 16
	tail := make([]byte, min(size, record+comment))
	if _, err := r.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	at := bytes.LastIndex(tail, []byte("PK\x05\x06"))
	if at < 0 || at+record > len(tail) {
		return errors.New("not an archive, or cut off")
	}
	if n := binary.LittleEndian.Uint16(tail[at+10:]); n > maxEntries {
		return fmt.Errorf("archive of %d files or more: limit is %d", n, maxEntries)
	}
	return nil
}
