package probe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// layeredTree makes the files, those whose content begins with ">" as links, and the
// container of the layers top and base/diff, the latter by a link, as Docker keeps it.
func layeredTree(t *testing.T, files map[string]string) (*Host, string) {
	t.Helper()
	dir := t.TempDir()
	files["l/BASE"] = ">../base/diff"
	for name, content := range files {
		at := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(at), 0o755)
		if err == nil && content[0] == '>' {
			err = os.Symlink(content[1:], at)
		} else if err == nil {
			err = os.WriteFile(at, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	h, err := LiveHost().Layered(dir, []string{dir + "/top", dir + "/l/BASE"})
	if err != nil {
		t.Fatal(err)
	}
	return h, dir
}

func namesIn(h *Host, folder string) (names []string) {
	d, err := h.OpenDir(folder)
	if err != nil {
		return []string{err.Error()}
	}
	defer d.Close()
	for name := range d.Names() {
		names = append(names, name)
	}
	return names
}

func TestLayersBehindLinksAreMerged(t *testing.T) {
	h, _ := layeredTree(t, map[string]string{"top/etc/a": "1", "base/diff/etc/b": "2", "base/diff/etc/.wh.c": "x", "base/diff/etc/d": ">b"})
	if got := namesIn(h, "/etc"); !slices.Equal(got, []string{"a", "b", "d"}) {
		t.Errorf("%q", got)
	}
	for _, name := range []string{"/etc/b", "/etc/d"} {
		if got := h.ReadString(name); got != "2" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestALinkBelowAFolderLeadsNowhere(t *testing.T) {
	outside := t.TempDir()
	if err := os.MkdirAll(outside+"/x/y", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(outside+"/x/secret", []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{outside, "../../other"} {
		h, dir := layeredTree(t, map[string]string{"top/app/x/own": "1", "base/diff/app": ">" + target, "other/x/secret": "secret"})
		if got := namesIn(h, "/app/x"); !slices.Equal(got, []string{"own"}) {
			t.Errorf("%s: %q", target, got)
		}
		for _, name := range []string{"/app/x/secret", "/app/x/y"} {
			if _, err := h.Stat(name); err == nil {
				t.Errorf("%s: %s is there", target, name)
			}
		}
		if got := h.ReadString("/app/x/secret"); got != "" {
			t.Errorf("%s: read %q", target, got)
		}
		// A link made after the path was resolved leads no further than its layer.
		if f, err := openBeneath(h.layerOf(dir+"/base/diff/app/x/secret"), dir+"/base/diff/app/x/secret", toRead); err == nil {
			f.Close()
			t.Errorf("%s: opened", target)
		}
	}
}

func TestMarksOfOverlayfs(t *testing.T) {
	h, dir := layeredTree(t, map[string]string{"top/whole/a": "1", "base/diff/whole/b": "2", "top/new/a": "1", "base/diff/old/b": "2", "top/x/a": "1"})
	for at, mark := range map[string]string{"whole": "opaque=y", "new": "redirect=/old", "x": "redirect=o"} {
		name, value, _ := strings.Cut(mark, "=")
		if err := unix.Setxattr(dir+"/top/"+at, "user.overlay."+name, []byte(value), 0); err != nil {
			t.Skip("no attributes here: ", err)
		}
	}
	if got := namesIn(h, "/whole"); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q", got)
	}
	for _, folder := range []string{"/new", "/x"} {
		before := h.Refusals()
		entries, err := h.ReadDir(folder)
		if len(entries) != 1 || err == nil || !strings.Contains(err.Error(), folder+": renamed in a layer") || h.Refusals() == before {
			t.Errorf("%v, %v", entries, err)
		}
	}
}
