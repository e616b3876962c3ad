package accounts

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

const server = "debian-12-software"

func TestAccountsOfARealHost(t *testing.T) {
	probetest.Golden(t, server, New())
}

// TestUsersEqualGetent asks the machine that runs the test.
func TestUsersEqualGetent(t *testing.T) {
	out, err := exec.Command("/usr/bin/getent", "-s", "files", "passwd").Output()
	if err != nil {
		t.Skipf("no getent here: %v", err)
	}
	data, err := os.ReadFile(passwdFile)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := ParsePasswd(data)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, r := range rows {
		u := r.(*facts.UserRow)
		fmt.Fprintf(&got, "%s:x:%d:%d:%s:%s:%s\n", u.Name, u.UID, u.GID, u.Gecos, u.Home, u.Shell)
	}
	if diff := cmp.Diff(string(out), got.String()); diff != "" {
		t.Errorf("(-getent +got):\n%s", diff)
	}
}

func TestParsePasswd(t *testing.T) {
	good := "root:x:0:0:root:/root:/bin/bash\n"
	for name, c := range map[string]struct {
		in     string
		rows   int
		reason string
	}{
		"good":         {good, 1, ""},
		"nis_imports":  {good + "+@admins::::::\n-bad\n", 1, ""},
		"first_counts": {good + "root:x:1:1::/:/bin/sh\n", 1, ""},
		"largest_id":   {"nobody:x:4294967295:65534::/:\n", 1, ""},
		"fields":       {good + "broken:x:1\n" + "a:x:1:1::/:\n", 2, "line 2: has 3 fields instead of 7"},
		"id":           {good + "a:x:-1:1::/:\n", 1, `line 2: id "-1"`},
		"no_name":      {":x:1:1::/:\n", 0, "line 1"},
		"cut":          {good + "a:x:1:1::/home/a:/bin/ba", 1, "line 2: cut off"},
		"nul":          {good + "a:x:1:1::/\x00:/bin/sh\n", 1, "line 2: has NUL bytes"},
		"huge":         {strings.Repeat("x", 1<<20) + "\n" + good, 1, "line 1"},
		"many":         {strings.Repeat("x\n", 9), 0, "and 6 more lines"},
		"empty":        {"", 0, "is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := ParsePasswd([]byte(c.in))
			if len(rows) != c.rows || (err == nil) != (c.reason == "") || err != nil && !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%d rows, %v; want %d, %q", len(rows), err, c.rows, c.reason)
			}
		})
	}
}

// TestRepeatedNamesAreTold: a second line of root with the number 0 is worth a look.
func TestRepeatedNamesAreTold(t *testing.T) {
	sections := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{
		"etc/passwd": "root:x:0:0::/root:/bin/sh\nalice:x:1:1::/:/bin/sh\nalice:x:0:0::/:/bin/sh\nroot:x:0:0::/:/bin/sh\n",
		"etc/group":  "a:x:1:\nb:x:2:\na:x:3:\n",
	})), New())
	for section, want := range map[string]string{
		"users":  "2 lines of /etc/passwd repeat a name, as that of alice: the first of each counts",
		"groups": "1 lines of /etc/group repeat a name, as that of a: the first of each counts",
	} {
		if s := sections[section]; !strings.Contains(s.Reason, want) || s.Status > facts.StatusPartial || len(s.Rows) != 2 {
			t.Errorf("%s: %s %q with %d rows", section, s.Status, s.Reason, len(s.Rows))
		}
	}
}

func TestParseGroup(t *testing.T) {
	rows, err := ParseGroup([]byte("adm:x:4:syslog,admin,admin\nempty:x:5:\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []facts.Row{&facts.GroupRow{Name: "adm", GID: 4, Members: []string{"admin", "syslog"}}, &facts.GroupRow{Name: "empty", GID: 5}}
	if diff := cmp.Diff(want, rows, cmp.Transformer("members", func(g facts.GroupRow) string { return fmt.Sprint(g.Name, g.GID, g.Members) })); diff != "" {
		t.Error(diff)
	}
}

// A file that ends within a line is never complete. One that ends between two lines
// cannot be told from a shorter one.
func TestACutFileNeverLooksComplete(t *testing.T) {
	text := probetest.Files(t, server)["etc/passwd"]
	for n, cut := range probetest.Cuts(text) {
		if _, err := ParsePasswd([]byte(cut)); err == nil && !strings.HasSuffix(cut, "\n") {
			t.Errorf("cut at %d: no error", n)
		}
	}
}

func TestUnreadableFiles(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  facts.Status
	}{
		"missing": {map[string]string{"etc/group": "root:x:0:\n"}, facts.StatusUnsupported},
		"folder":  {map[string]string{"etc/passwd/x": ""}, facts.StatusFailed},
		"partial": {map[string]string{"etc/passwd": "root:x:0:0::/:\nx\n"}, facts.StatusPartial},
	} {
		if r := probetest.Sections(probe.RootHost(probetest.Tree(t, c.files)), New())["users"]; r.Status != c.want || r.Reason == "" {
			t.Errorf("%s: status %s, reason %q", name, r.Status, r.Reason)
		}
	}
}

func FuzzParse(f *testing.F) {
	files := probetest.Files(f, server)
	f.Add(files["etc/passwd"])
	f.Add(files["etc/group"])
	f.Fuzz(func(t *testing.T, s string) {
		users, err := ParsePasswd([]byte(s))
		if err == nil && !strings.HasSuffix(s, "\n") {
			t.Errorf("%q looks complete", s)
		}
		groups, _ := ParseGroup([]byte(s))
		for _, r := range append(users, groups...) {
			if r.Key() == "" {
				t.Errorf("row without name from %q", s)
			}
		}
	})
}

func BenchmarkAccounts(b *testing.B) {
	root := probetest.Tree(b, probetest.Files(b, server))
	b.ReportAllocs()
	for b.Loop() {
		probetest.Sections(probe.RootHost(root), New())
	}
}
