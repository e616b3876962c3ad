package accounts

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// brief is a rule in one line.
func brief(row facts.Row) string {
	r := row.(*facts.SudoRuleRow)
	out := fmt.Sprintf("%s %s @%s as %s", r.WhoType, r.Who, strings.Join(r.Hosts, ","), strings.Join(r.RunAs, ","))
	if r.RunAsGroups != nil {
		out += ":" + strings.Join(r.RunAsGroups, ",")
	}
	if r.Except {
		out = "except " + out
	}
	switch {
	case r.NoPassword == nil:
		out += " pass?"
	case *r.NoPassword:
		out += " nopass"
	}
	for _, t := range append(append([]string{}, r.Tags...), r.Options...) {
		out += " " + t
	}
	return out + ": " + strings.Join(r.Commands, " | ")
}

func briefs(rows []facts.Row) string {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(brief(r) + "\n")
	}
	return b.String()
}

const digest224 = "c0ca3d9626b8fb942b97aadc7df1131dafac523e39bb4ca17ebf5627"

// The expected rules are those of `cvtsudoers -e -f sudoers` (sudo 1.9.13).
const sudoersText = `# comment
Defaults	env_reset, mail_badpass
Defaults secure_path="/usr/sbin:/usr/bin"
User_Alias ADMINS = alice, bob, %ops : WEB = www, !eve
User_Alias DEEP = ADMINS, !WEB
Host_Alias SRV = web1, 10.0.0.0/8, fe80::1 : DB = db1
Runas_Alias OP = root, operator
Cmnd_Alias SHUT = /sbin/shutdown, /sbin/reboot "" , \
    /sbin/halt
Cmnd_Alias PW = /usr/bin/passwd [A-Za-z]*, !/usr/bin/passwd root
root	ALL=(ALL:ALL) ALL
%sudo	ALL=(ALL:ALL) NOPASSWD: ALL
bob SRV = (OP) NOPASSWD: SHUT, PASSWD: PW : DB = (postgres) /usr/bin/psql
#1000 ALL = /bin/ls # trailing
%#1001 ALL = (:adm) SETENV: NOEXEC: /bin/more
+netgrp ALL,!SRV = (ALL, !root) sudoedit /etc/motd
DEEP ALL = !SHUT
carol ALL = TIMEOUT=5m CWD=/srv /usr/bin/make, /usr/bin/x --opt\=1\,2 --password\=abc
"DOM\\user name" ALL = ALL
dave ALL = sha224:` + digest224 + `, sha224:` + digest224 + ` /bin/ls, /bin/cat
user1, user2 , ! user3 host1 , host2 = /bin/a
eve ALL=(root) NOPASSWD:/usr/bin/apt update,/usr/bin/systemctl restart nginx\:x
`

const sudoersRules = `user root @ALL as ALL:ALL: ALL
group sudo @ALL as ALL:ALL nopass: ALL
user bob @web1,10.0.0.0/8,fe80::1 as root,operator nopass: /sbin/shutdown | /sbin/reboot "" | /sbin/halt
user bob @web1,10.0.0.0/8,fe80::1 as root,operator: /usr/bin/passwd [A-Za-z]* | !/usr/bin/passwd root
user bob @db1 as postgres: /usr/bin/psql
uid 1000 @ALL as root: /bin/ls
gid 1001 @ALL as :adm NOEXEC SETENV: /bin/more
netgroup netgrp @ALL,!web1,!10.0.0.0/8,!fe80::1 as ALL,!root: sudoedit /etc/motd
user alice @ALL as root: !/sbin/shutdown | !/sbin/reboot "" | !/sbin/halt
user bob @ALL as root: !/sbin/shutdown | !/sbin/reboot "" | !/sbin/halt
group ops @ALL as root: !/sbin/shutdown | !/sbin/reboot "" | !/sbin/halt
except user www @ALL as root: !/sbin/shutdown | !/sbin/reboot "" | !/sbin/halt
user eve @ALL as root: !/sbin/shutdown | !/sbin/reboot "" | !/sbin/halt
user carol @ALL as root CWD=/srv TIMEOUT=5m: /usr/bin/make | /usr/bin/x --opt=1,2 --password=***
user DOM\user name @ALL as root: ALL
user dave @ALL as root: sha224:` + digest224 + `, sha224:` + digest224 + ` /bin/ls | /bin/cat
user user1 @host1,host2 as root: /bin/a
user user2 @host1,host2 as root: /bin/a
except user user3 @host1,host2 as root: /bin/a
user eve @ALL as root nopass: /usr/bin/apt update | /usr/bin/systemctl restart nginx:x
`

func TestSudoers(t *testing.T) {
	rows, err := ParseSudoers(sudoersFile, []byte(sudoersText))
	if diff := cmp.Diff(sudoersRules, briefs(rows)); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	if r := rows[5].(*facts.SudoRuleRow); r.Line != 14 || r.File != sudoersFile {
		t.Errorf("the rule for 1000 is in %s line %d", r.File, r.Line)
	}
}

func TestDefaultsChangeRules(t *testing.T) {
	rows, err := ParseSudoers("/s", []byte("Defaults !authenticate, runas_default=op\na ALL=ALL\nb ALL=PASSWD: ALL\n"))
	if want := "user a @ALL as op nopass: ALL\nuser b @ALL as op: ALL\n"; briefs(rows) != want || err != nil {
		t.Errorf("got %s%v", briefs(rows), err)
	}
}

// TestDefaultsForSome: settings for some users, hosts, target users and commands change the
// rules that they are for, and what cannot be told is absent.
func TestDefaultsForSome(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"etc/hostname": "web1.example.org\n",
		"etc/passwd":   "root:x:0:0::/root:/bin/sh\na:x:1000:1000::/:/bin/sh\nb:x:1001:50::/:/bin/sh\n",
		"etc/group":    "root:x:0:\nops:x:50:\nadm:x:4:a\n",
	})
	f := func(defaults, rules, want string) {
		t.Helper()
		probetest.Write(t, root, "etc/sudoers", []byte(defaults+"\n"+rules+"\n"))
		s := probetest.Sections(probe.RootHost(root), New())["sudo_rules"]
		// Rows are sorted by key: compare as sets of lines.
		got, wanted := strings.Split(strings.TrimSpace(briefs(s.Rows)), "\n"), strings.Split(want, "\n")
		slices.Sort(got)
		slices.Sort(wanted)
		if diff := cmp.Diff(wanted, got); diff != "" || s.Status != facts.StatusOK {
			t.Errorf("%s: %s %s (-want +got):\n%s", defaults, s.Status, s.Reason, diff)
		}
		if unsure := strings.Contains(want, "?") || strings.Contains(want, "root,op"); unsure != strings.Contains(s.Reason, "depends on Defaults") {
			t.Errorf("%s: reason %q", defaults, s.Reason)
		}
	}
	const both = "a ALL=(ALL) ALL\nb ALL=(ALL) ALL"
	const first = "user a @ALL as ALL nopass: ALL\nuser b @ALL as ALL: ALL"
	f("Defaults:a !authenticate", both, first)
	f("Defaults:\ta , c !authenticate, env_reset", both, first)
	f("Defaults:#1000 !authenticate", both, first)
	f("Defaults:%adm !authenticate", both, first)
	f("Defaults:%#4 ! authenticate", both, first)
	f("Defaults:ALL,!b !authenticate", both, first)
	f("User_Alias X = b\nDefaults:ALL,!X !authenticate", both, first)
	f("Defaults !authenticate\nDefaults:b authenticate", both, first)
	f("Defaults:ops !authenticate", both, "user a @ALL as ALL: ALL\nuser b @ALL as ALL: ALL")
	f("Defaults exempt_group=adm", both, first)
	f("Defaults:%ops !authenticate", both, "user b @ALL as ALL nopass: ALL\nuser a @ALL as ALL: ALL")
	f("Defaults:+net !authenticate", both, "user a @ALL as ALL pass?: ALL\nuser b @ALL as ALL pass?: ALL")
	f("Defaults:a !authenticate", "ALL ALL=(ALL) ALL", "all ALL @ALL as ALL pass?: ALL")
	f("Defaults:a !authenticate", "%adm ALL=PASSWD: ALL, NOPASSWD: /bin/x", "group adm @ALL as root: ALL\ngroup adm @ALL as root nopass: /bin/x")
	f("Defaults:%adm !authenticate", "%adm ALL=ALL\n%ops ALL=ALL", "group adm @ALL as root nopass: ALL\ngroup ops @ALL as root pass?: ALL")

	f("Defaults@web1 !authenticate", "a ALL=ALL\nb web1,db1=ALL", "user a @ALL as root nopass: ALL\nuser b @web1,db1 as root pass?: ALL")
	f("Defaults@db* !authenticate", "a ALL=ALL\nb db1=ALL", "user a @ALL as root: ALL\nuser b @db1 as root nopass: ALL")
	f("Defaults@web1.example.org !authenticate", "a ALL=ALL", "user a @ALL as root nopass: ALL")
	f("Defaults@10.0.0.0/8 !authenticate", "a ALL=ALL", "user a @ALL as root pass?: ALL")

	f("Defaults>op !authenticate", "a ALL=(op) /bin/x\nb ALL=(ALL) /bin/x", "user a @ALL as op nopass: /bin/x\nuser b @ALL as ALL pass?: /bin/x")
	f("Defaults>root !authenticate", "a ALL=(:adm) /bin/x\nb ALL=/bin/x", "user a @ALL as :adm: /bin/x\nuser b @ALL as root nopass: /bin/x")

	f("Cmnd_Alias L = /bin/l, /opt/t/\nDefaults!L !authenticate", "a ALL=/bin/l -a, /bin/m, /opt/t/x, !/bin/l -b\nb ALL=ALL",
		"user a @ALL as root nopass: /bin/l -a\nuser a @ALL as root pass?: /bin/m\nuser a @ALL as root nopass: /opt/t/x | !/bin/l -b\nuser b @ALL as root pass?: ALL")
	f("Defaults!/bin/l !authenticate", "a ALL=/bin/m, /usr/bin/l, /bin/*", "user a @ALL as root: /bin/m\nuser a @ALL as root pass?: /usr/bin/l | /bin/*")
	f("Cmnd_Alias L = /bin/l -x\nDefaults!L !authenticate", "a ALL=sha224:"+digest224+" /bin/l -x, /bin/l", "user a @ALL as root nopass: sha224:"+digest224+" /bin/l -x\nuser a @ALL as root pass?: /bin/l")
	f("Defaults!/bin/l authenticate\nDefaults:a !authenticate", "a ALL=/bin/l, /bin/m", "user a @ALL as root: /bin/l\nuser a @ALL as root nopass: /bin/m")

	f("Defaults:a runas_default=op", "a ALL=/bin/x\nb ALL=/bin/x", "user a @ALL as op: /bin/x\nuser b @ALL as root: /bin/x")
	f("Defaults:+net runas_default=op", "a ALL=/bin/x", "user a @ALL as root,op: /bin/x")
}

func TestManyDefaultsAreBounded(t *testing.T) {
	text := "User_Alias A = " + strings.Repeat("u, ", 2000) + "u\n" + strings.Repeat("Defaults:A !authenticate\n", 5000) + strings.Repeat("b ALL = ALL\n", 1000)
	rows, err := ParseSudoers("/s", []byte(text))
	if err != nil || len(rows) != 1000 || rows[999].(*facts.SudoRuleRow).NoPassword != nil {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

// TestTagsBeforeASecondHostList: the colon of a tag that follows another is no end.
func TestTagsBeforeASecondHostList(t *testing.T) {
	rows, err := ParseSudoers("/s", []byte("a ALL=NOEXEC:SETENV: /usr/bin/vi : h2 = /bin/x\n"))
	if want := "user a @ALL as root NOEXEC SETENV: /usr/bin/vi\nuser a @h2 as root: /bin/x\n"; briefs(rows) != want || err != nil {
		t.Errorf("got %s%v", briefs(rows), err)
	}
}

func TestSudoersIncludes(t *testing.T) {
	root := probetest.Tree(t, map[string]string{
		"etc/hostname":             "web1.example.org\n",
		"etc/sudoers":              "@include sudoers.%h\n#includedir /etc/sudoers.d\n@include /etc/missing\nroot ALL=ALL\nnot a rule\n",
		"etc/sudoers.web1":         "User_Alias A = alice\n@include sudoers\n",
		"etc/sudoers.d/10-a":       "A ALL=/bin/a\n",
		"etc/sudoers.d/20.dpkg":    "x ALL=ALL\n",
		"etc/sudoers.d/30~":        "x ALL=ALL\n",
		"etc/sudoers.d/40-foreign": "\x00",
	})
	s := probetest.Sections(probe.RootHost(root), New())["sudo_rules"]
	want := "user root @ALL as root: ALL\nuser alice @ALL as root: /bin/a\n"
	if got := briefs(s.Rows); got != want || s.Status != facts.StatusPartial {
		t.Errorf("status %s %q\n%s", s.Status, s.Reason, got)
	}
	for _, part := range []string{"too many included", "40-foreign"} {
		if !strings.Contains(s.Reason, part) && !strings.Contains(s.Reason, "more lines") {
			t.Errorf("%q does not tell of %q", s.Reason, part)
		}
	}
}

func TestNoSudoIsUnsupported(t *testing.T) {
	s := probetest.Sections(probe.RootHost(t.TempDir()), New())["sudo_rules"]
	if s.Status != facts.StatusUnsupported {
		t.Errorf("status %s %q", s.Status, s.Reason)
	}
}

func TestAliasBombIsBounded(t *testing.T) {
	text := "User_Alias A0 = a, b\n"
	for i := range 60 {
		text += fmt.Sprintf("User_Alias A%d = A%d, A%d\n", i+1, i, i)
	}
	rows, err := ParseSudoers("/s", []byte(text+"A60 ALL=ALL\nUser_Alias LOOP = LOOP, x\nLOOP ALL=ALL\nroot ALL=ALL\n"))
	if err == nil || len(rows) == 0 || len(rows) > 3*maxExpanded || brief(rows[len(rows)-1]) != "user root @ALL as root: ALL" {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestDoas(t *testing.T) {
	rows, err := ParseDoas("/etc/doas.conf", []byte(`# comment
permit nopass keepenv :wheel
permit persist setenv { PKG_CACHE PASSWORD=x } alice as www cmd /usr/bin/make args install
deny bob \
  cmd reboot
permit "a b"
permit
allow x
`))
	want := `group wheel @ALL as ALL nopass keepenv: ALL
user alice @ALL as www persist setenv: /usr/bin/make install
except user bob @ALL as ALL: reboot
user a b @ALL as ALL: ALL
`
	if diff := cmp.Diff(want, briefs(rows)); diff != "" || err == nil || !strings.Contains(err.Error(), "line 7") || !strings.Contains(err.Error(), "line 8") {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}

func FuzzSudoers(f *testing.F) {
	f.Add(sudoersText)
	f.Add("Defaults:a,!%b !authenticate\nDefaults!/bin/l,^x$ authenticate\nDefaults@h.x runas_default=o\nDefaults>#0 !authenticate\na h=(b) sha224:x /bin/l, !/x/ : h.x = y")
	f.Add("User_Alias A = !!A, A\nA,!A ALL = (A:A) NOPASSWD: ! A, sha224:x")
	f.Add("permit setenv { a } :x as y cmd z args \"")
	f.Fuzz(func(t *testing.T, s string) {
		rows, _ := ParseSudoers("/etc/sudoers", []byte(s))
		doas, _ := ParseDoas("/etc/doas.conf", []byte(s))
		for _, row := range append(rows, doas...) {
			r := row.(*facts.SudoRuleRow)
			if r.Line < 1 || r.Who == "" && r.WhoType == "all" || strings.Contains(strings.Join(r.Commands, ""), "\n") {
				t.Errorf("row %+v", r)
			}
		}
	})
}
