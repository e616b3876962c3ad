package accounts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// record makes a record of utmp(5).
func record(l utmpLayout, order binary.ByteOrder, kind uint16, user, line, host string, at int64) []byte {
	b := make([]byte, l.size)
	order.PutUint16(b, kind)
	order.PutUint32(b[utmpPID:], 4711)
	copy(b[utmpLine:], line)
	copy(b[utmpUser:], user)
	copy(b[utmpHost:], host)
	if l.wide {
		order.PutUint64(b[l.seconds:], uint64(at))
	} else {
		order.PutUint32(b[l.seconds:], uint32(at))
	}
	copy(b[l.address:], []byte{192, 0, 2, 7})
	return b
}

func login(user, line, host string, at int64) []byte {
	return record(utmpLayouts[0], binary.LittleEndian, 7, user, line, host, at)
}

func TestUtmpOfAllMachines(t *testing.T) {
	for _, l := range utmpLayouts {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			data := append(record(l, order, 2, "reboot", "~", "6.1.0", 1700000000), record(l, order, 7, "alice", "pts/0", "", 1700000100)...)
			got, err := ParseUtmp(data)
			want := `[{boot reboot ~ 6.1.0 4711 1700000000000} {user alice pts/0 192.0.2.7 4711 1700000100000}]`
			if s := fmt.Sprint(got); s != want || err != nil {
				t.Errorf("%d bytes, %v: %s, %v", l.size, order, s, err)
			}
			if got, err = ParseUtmp(data[:len(data)-10]); len(got) != 1 || err == nil {
				t.Errorf("cut: %v, %v", got, err)
			}
		}
	}
}

// TestOneBadRecordCostsNoOther has a record of an unknown type, and one without a time, at
// the beginning, in the middle and far behind of a log.
func TestOneBadRecordCostsNoOther(t *testing.T) {
	for _, l := range utmpLayouts {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			for _, at := range []int{0, 50, 150} {
				for _, kind := range []uint16{10, 0x5555} {
					var data []byte
					for i := range 200 {
						data = append(data, record(l, order, 7, "alice", fmt.Sprint("pts/", i), "", 1700000000)...)
					}
					order.PutUint16(data[at*l.size:], kind)
					clear(data[(at+1)*l.size+l.seconds:][:4])
					if l.wide {
						clear(data[(at+1)*l.size+l.seconds:][:8])
					}
					got, err := ParseUtmp(data)
					if len(got) != 198 || err == nil || err.Error() != "2 records not understood" || got[197].Line != "pts/199" {
						t.Errorf("%d bytes, %v, record %d of type %d: %d sessions, %v", l.size, order, at, kind, len(got), err)
					}
				}
			}
		}
	}
}

// TestABadRecordLeavesTheOtherSections reads a machine whose log of logins is damaged.
func TestABadRecordLeavesTheOtherSections(t *testing.T) {
	root := loginTree(t)
	data := bytes.Repeat(login("alice", "pts/0", "", 1700000000), 200)
	data[150*utmpLayouts[0].size] = 0x55
	probetest.Write(t, root, "var/log/wtmp", data)
	got := probetest.Sections(probe.RootHost(root), New())
	for name, want := range map[string]facts.Status{"users": facts.StatusOK, "logins": facts.StatusPartial, "authorized_keys": facts.StatusOK} {
		if s := got[name]; s.Status != want {
			t.Errorf("%s: %s %q, want %s", name, s.Status, s.Reason, want)
		}
	}
	if len(got["logins"].Rows) != 5 {
		t.Errorf("%d logins", len(got["logins"].Rows))
	}
}

// TestLoginsOfUnreadAccountsAreNotGone damages passwd, which names those of lastlog.
func TestLoginsOfUnreadAccountsAreNotGone(t *testing.T) {
	root := loginTree(t)
	probetest.Write(t, root, "etc/passwd", []byte("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbig:x:42949"))
	s := probetest.Sections(probe.RootHost(root), New())["logins"]
	if s.Status != facts.StatusPartial || len(s.Rows) != 4 {
		t.Errorf("%s %q with %d rows", s.Status, s.Reason, len(s.Rows))
	}
}

// TestUtmpIsReadAsUtmpdumpDoes asks a tool of util-linux.
func TestUtmpIsReadAsUtmpdumpDoes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wtmp")
	data := append(login("alice", "pts/0", "h.example.org", 1700000100), login("bob", "tty1", "", 1700000200)...)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("/usr/bin/utmpdump", file).Output()
	if err != nil {
		t.Skipf("no utmpdump here: %v", err)
	}
	got, err := ParseUtmp(data)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, s := range got {
		for _, part := range []string{s.User, s.Line, s.Host, fmt.Sprint(s.PID), s.At.Time().Format("2006-01-02T15:04:05")} {
			if !strings.Contains(lines[i], part) {
				t.Errorf("utmpdump %q has no %q", lines[i], part)
			}
		}
	}
}

// tree has three accounts, one with the largest number.
func loginTree(t testing.TB) string {
	root := probetest.Tree(t, map[string]string{
		"etc/passwd":       "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/:/bin/sh\nbig:x:4294967294:1::/:/bin/sh\n",
		"var/log/wtmp.1":   string(login("old", "tty1", "", 1600000000)),
		"var/log/wtmp":     string(append(login("alice", "pts/0", "a", 1700000000), login("alice", "pts/0", "b", 1700000100)...)),
		"run/utmp":         string(login("alice", "tty2", "", 1700000200)),
		"var/log/lastlog/": "",

		"etc/ssh/sshd_config": "AuthorizedKeysFile /keys\n",
		"keys":                testKey + "\n",
	})
	if err := os.Remove(filepath.Join(root, "var/log/lastlog")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(root, "var/log/lastlog"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for uid, at := range map[int64]uint32{0: 1650000000, 4294967294: 1660000000} {
		rec := make([]byte, lastlogSize)
		binary.LittleEndian.PutUint32(rec, at)
		copy(rec[4:], "tty3")
		copy(rec[36:], "console")
		if _, err := f.WriteAt(rec, uid*lastlogSize); err != nil {
			t.Skipf("no sparse files here: %v", err)
		}
	}
	return root
}

// TestParseOfASparseLastlog reads 1.2 TB of which two records are there.
func TestParseOfASparseLastlog(t *testing.T) {
	f, err := os.Open(filepath.Join(loginTree(t), "var/log/lastlog"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(0, seekData); err != nil {
		t.Skipf("holes are not told here: %v", err)
	}
	got, err := parseLastlogFile(f)
	want := "[{0 {user  tty3 console 0 1650000000000}} {4294967294 {user  tty3 console 0 1660000000000}}]"
	if s := fmt.Sprint(got); err != nil || s != want {
		t.Errorf("%v, %v; want %s", s, err, want)
	}
}

func TestLogins(t *testing.T) {
	root := loginTree(t)
	p := New()
	h := probe.RootHost(root)
	read := func() string {
		s := probetest.Sections(h, p)["logins"]
		out := s.Status.String()
		for _, row := range s.Rows {
			r := row.(*facts.LoginRow)
			out += fmt.Sprintf("; %s %s %s %d %v %s", r.User, r.Line, r.Host, r.At/1000, r.Session, r.Source)
		}
		return out
	}
	want := "ok; alice pts/0 b 1700000100 false wtmp; alice tty2 192.0.2.7 1700000200 true utmp; " +
		"big tty3 console 1660000000 false lastlog; old tty1 192.0.2.7 1600000000 false wtmp; root tty3 console 1650000000 false lastlog"
	for range 2 { // the second time from what was kept
		if got := read(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	probetest.Write(t, root, "run/utmp", nil)
	if got := read(); strings.Contains(got, "true") {
		t.Errorf("logged out: %s", got)
	}
	probetest.Write(t, root, "var/log/wtmp", bytes.Repeat([]byte("x"), 1000))
	if got := read(); !strings.HasPrefix(got, "partial") {
		t.Errorf("damaged: %s", got)
	}
}

func TestNewDatabasesOfLoginsAreNamed(t *testing.T) {
	s := probetest.Sections(probe.RootHost(probetest.Tree(t, map[string]string{"var/lib/wtmpdb/wtmp.db": "SQLite"})), New())["logins"]
	if s.Status != facts.StatusEmpty || !strings.Contains(s.Reason, "wtmp.db") {
		t.Errorf("status %s %q", s.Status, s.Reason)
	}
}

func TestShadow(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC) // day 20454
	const hash = "$6$salt$0123456789abcdef"
	for line, want := range map[string]string{
		"a:" + hash + ":20000:0:99999:7:::":  "set",
		"a:" + hash + ":20000:0:90:7:::":     "expired",
		"a:" + hash + ":20400:0:90:7:::":     "set",
		"a:" + hash + ":0:0:99999:7:::":      "expired", // has to be changed at the next login
		"a:!" + hash + ":20000:0:99999:7:::": "locked",
		"a:*:20000:0:99999:7:::":             "locked",
		"a:!!:20000::::::":                   "locked",
		"a:::::::::":                         "none",
		"a:::0:::::":                         "none",
	} {
		got, err := ParseShadow([]byte(strings.TrimSuffix(line, ":")+":\n"), now)
		if strings.Count(line, ":") == 9 {
			got, err = ParseShadow([]byte(strings.TrimSuffix(line, ":")+"\n"), now)
		}
		if err != nil || len(got) != 1 || got[0].Password != want {
			t.Errorf("%s: %+v, %v; want %s", line, got, err, want)
		}
	}
	if _, err := ParseShadow([]byte("a:x:y::::::\n"), now); err == nil || strings.Contains(err.Error(), hash) {
		t.Errorf("bad day: %v", err)
	}
}

func FuzzLogins(f *testing.F) {
	f.Add(login("alice", "pts/0", "h", 1700000000))
	f.Add(append(record(utmpLayouts[1], binary.BigEndian, 7, "a", "b", "c", 1), 0))
	f.Add([]byte("a:$6$salt$0123456789abcdef:20000:0:90:7:::\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		sessions, _ := ParseUtmp(data)
		for _, s := range sessions {
			if s.At < 0 {
				t.Errorf("%+v", s)
			}
		}
		ParseLastlog(data)
		entries, _ := ParseShadow(data, time.Unix(1700000000, 0))
		for _, e := range entries {
			if e.Name == "" || e.Password == "" {
				t.Errorf("%+v", e)
			}
		}
	})
}
