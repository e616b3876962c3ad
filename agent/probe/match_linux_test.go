package probe_test

import (
	"errors"
	"io/fs"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
)

// TestMatchTellsAbsentFromRefused: Glob finds nothing in both cases.
func TestMatchTellsAbsentFromRefused(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"a/one/x.conf": "", "a/two/x.conf": "", "a/three/y.conf": "", "b/x.conf": "", "c": "a file"})
	h := probe.RootHost(root)
	f := func(pattern, want string, denied bool) {
		t.Helper()
		found, err := h.Match(pattern)
		if got := strings.Join(found, " "); got != want || errors.Is(err, fs.ErrPermission) != denied || !denied && err != nil {
			t.Errorf("%s matches %q, %v; want %q, refused %v", pattern, got, err, want, denied)
		}
	}
	f("/a/*/x.conf", "/a/one/x.conf /a/two/x.conf", false)
	f("/a/one/*.conf", "/a/one/x.conf", false)
	f("/none/*/x", "", false)
	f("/c/*", "", false)
	f("/b/x.conf", "/b/x.conf", false)
	probetest.Deny(t, root, "a/two", "b")
	f("/a/*/x.conf", "/a/one/x.conf", true)
	f("/b/*", "", true)
	f("/b/x.conf", "", true)
	f("/a/one/*.conf", "/a/one/x.conf", false)
}
