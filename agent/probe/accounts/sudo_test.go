package accounts

import (
	"fmt"
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
	if r.NoPassword {
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
