package patches

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rogpeppe/go-internal/txtar"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestVerdictsAndTheirProof judges the systems of testdata/verdicts. Each is an archive
// of files in plain text: names that end in .gz or .zst are compressed, "x.tar.gz!name"
// is a file inside of one. "installed" holds the rpm packages: name, version, arch,
// seconds since 1970, perhaps the vendor. "proof" is what is expected; -update writes it. $HOURAGO is that time. The first line of
// the comment may say how old the indexes are: "age 5d".
func TestVerdictsAndTheirProof(t *testing.T) {
	names, err := filepath.Glob("testdata/verdicts/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := proof(t, archive)
			i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "proof" })
			if i >= 0 && string(archive.Files[i].Data) == got {
				return
			}
			if flag.Lookup("update").Value.String() != "true" {
				t.Fatalf("got\n%s\nwant another, see %s (-update writes it)", got, name)
			}
			if i < 0 {
				i = len(archive.Files)
				archive.Files = append(archive.Files, txtar.File{Name: "proof"})
			}
			archive.Files[i].Data = []byte(got)
			if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func proof(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	h, installed := system0(t, archive)
	cfg := Config{InstalledRPMs: func(context.Context, *probe.Host) ([]*facts.PackageRow, error) { return installed, nil }}
	s := probetest.Sections(h, New(cfg))
	var b strings.Builder
	for _, r := range s["patch_state"].Rows {
		row := r.(*facts.PatchStateRow)
		fmt.Fprintf(&b, "verdict %s: %d pending, %d for security\n", row.Verdict, row.Pending, row.Security)
		if row.Reason != "" {
			fmt.Fprintf(&b, "because %s\n", row.Reason)
		}
		for _, reason := range row.RebootReasons {
			fmt.Fprintf(&b, "reboot %s\n", reason)
		}
	}
	for _, r := range s["patches"].Rows {
		p := r.(*facts.PatchRow)
		fmt.Fprintf(&b, "%s %s.%s %s -> %s from %q", p.State, p.Name, p.Arch, p.Installed, p.Candidate, p.Origin)
		if p.Security {
			b.WriteString(", security")
		}
		for _, word := range []string{p.Severity, p.Advisory, p.Reason} {
			if word != "" {
				b.WriteString(", " + word)
			}
		}
		if p.CVEs > 0 {
			fmt.Fprintf(&b, ", CVEs %d", p.CVEs)
		}
		b.WriteString("\n")
	}
	for _, r := range s["package_indexes"].Rows {
		x := r.(*facts.PackageIndexRow)
		fmt.Fprintf(&b, "index %q of %s", x.Repository, x.Manager)
		if x.Time != 0 {
			fmt.Fprintf(&b, " %s old", time.Since(x.Time.Time()).Round(time.Hour))
		}
		for _, word := range []string{x.Signature, x.Error} {
			if word != "" {
				b.WriteString(", " + word)
			}
		}
		b.WriteString("\n")
	}
	for _, r := range s["repositories"].Rows {
		x := r.(*facts.RepositoryRow)
		fmt.Fprintf(&b, "repository %q enabled %t, signing %q, %s", x.ID, x.Enabled, x.Signing, x.URI)
		if x.SignedBy != "" {
			b.WriteString(", by " + x.SignedBy)
		}
		b.WriteString("\n")
	}
	return strings.ReplaceAll(b.String(), "  ", " ")
}

// system0 unpacks the archive.
func system0(t *testing.T, archive *txtar.Archive) (*probe.Host, []*facts.PackageRow) {
	t.Helper()
	files := make(map[string]string)
	tars := make(map[string]*tarball)
	var installed []*facts.PackageRow
	for _, f := range archive.Files {
		name, data := f.Name, strings.ReplaceAll(string(f.Data), "$HOURAGO", time.Now().Add(-time.Hour).Format(time.RFC3339))
		if outer, inner, ok := strings.Cut(name, "!"); ok {
			if tars[outer] == nil {
				tars[outer] = newTarball()
			}
			tars[outer].add(t, inner, data)
			continue
		}
		switch {
		case name == "proof":
		case name == "installed":
			installed = rpmLines(t, data)
		case strings.HasSuffix(name, ".gz"), strings.HasSuffix(name, ".zst"):
			if strings.Contains(name, "primary.xml") { // createrepo_c ends it without a line break
				data = strings.TrimSuffix(data, "\n")
			}
			files[name] = compress(t, name, data)
		default:
			files[name] = data
		}
	}
	for name, x := range tars {
		files[name] = x.close(t)
	}
	root := probetest.Tree(t, files)
	age := time.Hour
	if word, ok := strings.CutPrefix(string(archive.Comment), "age "); ok {
		n, _ := strconv.Atoi(word[:strings.IndexByte(word, 'd')])
		age = time.Duration(n) * 24 * time.Hour
	}
	setTimes(t, root, time.Now().Add(-age))
	return probe.RootHost(root), installed
}

func setTimes(t *testing.T, root string, at time.Time) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type()&os.ModeSymlink == 0 {
			err = os.Chtimes(path, at, at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func rpmLines(t *testing.T, text string) (rows []*facts.PackageRow) {
	t.Helper()
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 {
			t.Fatalf("line %q", line)
		}
		at, err := strconv.ParseInt(f[3], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		vendor := "openSUSE"
		if len(f) > 4 {
			vendor = strings.Join(f[4:], " ")
		}
		rows = append(rows, &facts.PackageRow{Vendor: vendor, Name: f[0], Version: f[1], Arch: f[2], Source: "rpm", InstalledAt: facts.Time(at * 1000)})
	}
	return rows
}

func compress(t testing.TB, name, data string) string {
	t.Helper()
	var b bytes.Buffer
	if strings.HasSuffix(name, ".zst") {
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		return string(w.EncodeAll([]byte(data), nil))
	}
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// tarball is a compressed archive in the making.
type tarball struct {
	buf bytes.Buffer
	gz  *gzip.Writer
	tar *tar.Writer
}

func newTarball() *tarball {
	x := &tarball{}
	x.gz = gzip.NewWriter(&x.buf)
	x.tar = tar.NewWriter(x.gz)
	return x
}

func (x *tarball) add(t testing.TB, name, data string) {
	t.Helper()
	if err := x.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	if _, err := x.tar.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
}

func (x *tarball) close(t testing.TB) string {
	t.Helper()
	if err := x.tar.Close(); err != nil {
		t.Fatal(err)
	}
	if err := x.gz.Close(); err != nil {
		t.Fatal(err)
	}
	return x.buf.String()
}

func TestSecretsInURIs(t *testing.T) {
	for uri, want := range map[string]string{
		"https://user:secret@h.example.org/debian?token=abc&x": "https://***@h.example.org/debian?token=***&***",
		"http://deb.debian.org/debian":                         "http://deb.debian.org/debian",
		"file:/srv/a@b":                                        "file:/srv/a@b",
		"https://h/p@q":                                        "https://h/p@q",
	} {
		if got := maskURI(uri); got != want {
			t.Errorf("%s: %s, want %s", uri, got, want)
		}
	}
}
