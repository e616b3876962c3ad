package accounts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// TestKeysEqualSSHKeygen makes a key of each kind and asks ssh-keygen for its fingerprint.
func TestKeysEqualSSHKeygen(t *testing.T) {
	const keygen = "/usr/bin/ssh-keygen"
	if _, err := os.Stat(keygen); err != nil {
		t.Skipf("no ssh-keygen here: %v", err)
	}
	dir := t.TempDir()
	for i, kind := range []string{"ed25519", "rsa -b 1024", "rsa -b 2048", "ecdsa -b 256", "ecdsa -b 384", "ecdsa -b 521", "dsa"} {
		name := filepath.Join(dir, fmt.Sprint("key", i))
		args := append(strings.Fields("-q -N -C me@host -t"), strings.Fields(kind)...)
		args = append(args[:2], append([]string{"", "-f", name}, args[2:]...)...)
		if out, err := exec.Command(keygen, args...).CombinedOutput(); err != nil {
			t.Logf("%s is not made here: %v %s", kind, err, out)
			continue
		}
		pub, err := os.ReadFile(name + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		want, err := exec.Command(keygen, "-lf", name+".pub").Output()
		if err != nil {
			t.Fatal(err)
		}
		rows, err := ParseAuthorizedKeys(pub)
		if err != nil || len(rows) != 1 {
			t.Fatalf("%s: %d rows, %v", kind, len(rows), err)
		}
		k := rows[0].(*facts.AuthorizedKeyRow)
		if got := fmt.Sprintf("%d %s %s (", k.Bits, k.Fingerprint, k.Comment); !strings.HasPrefix(string(want), got) {
			t.Errorf("%s: got %q, ssh-keygen says %q", kind, got, want)
		}
	}
}

const testKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

func TestOptionsOfKeys(t *testing.T) {
	rows, err := ParseAuthorizedKeys([]byte("# c\n\n" + `from="10.0.0.0/8,h",no-pty,command="backup --password \"a b\" x",environment="TOKEN=abc" ` + testKey + " a comment\n" +
		testKey + "\nssh-rsa AAAA damaged\nnonsense\nssh-rsa " + strings.Fields(testKey)[1] + "\n"))
	if len(rows) != 2 || err == nil || strings.Count(err.Error(), "\n") != 2 || strings.Contains(err.Error(), "AAAA") {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	k := rows[0].(*facts.AuthorizedKeyRow)
	want := `from=10.0.0.0/8,h|no-pty|command=backup --password *** x|environment=TOKEN=***`
	if got := strings.Join(k.Options, "|"); got != want || k.Comment != "a comment" || k.Bits != 256 {
		t.Errorf("%s, %q, %d bits", got, k.Comment, k.Bits)
	}
	if rows[0].Key() == rows[1].Key() {
		t.Error("the restricted key hides the one that is not")
	}
	if plain := rows[1].(*facts.AuthorizedKeyRow); plain.Options != nil || plain.Comment != "" || plain.Fingerprint != k.Fingerprint {
		t.Errorf("%+v", plain)
	}
}

func TestKeysAreWhereSSHDLooks(t *testing.T) {
	files := map[string]string{
		"etc/passwd":                       "root:x:0:0::/root:/bin/sh\nalice:x:1000:1::/home/alice:/bin/sh\n",
		"root/.ssh/authorized_keys":        testKey + " root\n",
		"home/alice/.ssh/authorized_keys2": testKey + " second\n",
		"etc/ssh/keys/alice":               testKey + " central\n",
		"etc/ssh/more/1000":                testKey + " matched\n",
	}
	read := func() string {
		s := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["authorized_keys"]
		out := s.Status.String() + " " + s.Reason
		for _, row := range s.Rows {
			k := row.(*facts.AuthorizedKeyRow)
			out += "; " + k.User + " " + k.File + " " + k.Comment
		}
		return out
	}
	if got := read(); got != "ok ; alice /home/alice/.ssh/authorized_keys2 second; root /root/.ssh/authorized_keys root" {
		t.Errorf("without a configuration: %s", got)
	}
	files["etc/ssh/sshd_config"] = "Include sshd_config.d/*.conf\nAuthorizedKeysFile none\nMatch User alice\n  AuthorizedKeysFile /etc/ssh/more/%U\n"
	files["etc/ssh/sshd_config.d/a.conf"] = "authorizedkeysfile=\"/etc/ssh/keys/%u\" %h/.ssh/authorized_keys\nAuthorizedKeysCommand /usr/bin/keys %u\n"
	want := "ok keys that AuthorizedKeysCommand gives are not listed; alice /etc/ssh/more/1000 matched; root /root/.ssh/authorized_keys root"
	if got := read(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestMatchBlocksHoldForTheirUsers: sshd takes the files of the first block that holds for a
// user instead of all others.
func TestMatchBlocksHoldForTheirUsers(t *testing.T) {
	files := map[string]string{
		"etc/passwd":       "root:x:0:0::/root:/bin/sh\nalice:x:1000:100::/home/alice:/bin/sh\njosé:x:1001:100::/home/josé:/bin/sh\n",
		"etc/group":        "root:x:0:\nusers:x:100:\nwheel:x:10:alice,root\n",
		"etc/ssh/f/nested": "Match Group users\nAuthorizedKeysFile /k/nested\n",
		"etc/ssh/f/plain":  "AuthorizedKeysFile /k/plain\n",
	}
	for _, name := range []string{"root/.ssh/authorized_keys", "home/alice/.ssh/authorized_keys", "home/josé/.ssh/authorized_keys", "k/a", "k/b", "k/nested", "k/plain"} {
		files[name] = testKey + "\n"
	}
	const rootOwn, aliceOwn, joséOwn = " root:/root/.ssh/authorized_keys", " alice:/home/alice/.ssh/authorized_keys", " josé:/home/josé/.ssh/authorized_keys"
	for config, want := range map[string]string{
		"Match User josé\nAuthorizedKeysFile /k/a":                                        "ok:" + aliceOwn + " josé:/k/a" + rootOwn,
		"Match User=josé\nAuthorizedKeysFile /k/a":                                        "ok:" + aliceOwn + " josé:/k/a" + rootOwn,
		"Match User jos*,!root Group users\nAuthorizedKeysFile /k/a":                      "ok:" + aliceOwn + " josé:/k/a" + rootOwn,
		"Match Group wheel\nAuthorizedKeysFile /k/a":                                      "ok: alice:/k/a" + joséOwn + " root:/k/a",
		"Match Group users,!wheel\nAuthorizedKeysFile /k/a":                               "ok:" + aliceOwn + " josé:/k/a" + rootOwn,
		"Match User ali?e\nAuthorizedKeysFile /k/a\nMatch All\nAuthorizedKeysFile /k/b":   "ok: alice:/k/a josé:/k/b root:/k/b",
		"Match Invalid-User\nAuthorizedKeysFile /k/a":                                     "ok:" + aliceOwn + joséOwn + rootOwn,
		"Match User alice\nInclude f/nested\nMatch User root\nInclude f/plain":            "ok: alice:/k/nested" + joséOwn + " root:/k/plain",
		"Include f/nested\nAuthorizedKeysFile /k/b\n":                                     "ok: alice:/k/nested josé:/k/nested root:/k/b",
		"Match User root\nAuthorizedKeysFile none":                                        "ok:" + aliceOwn + joséOwn,
		"Match User josé Address 10.0.0.0/8\nAuthorizedKeysFile /k/a":                     "ok keys of some connections alone are among them: Match address 10.0.0.0/8:" + aliceOwn + joséOwn + " josé:/k/a" + rootOwn,
		"Match User nobody LocalPort 22\nAuthorizedKeysFile /k/a\nMatch User root Host x": "ok:" + aliceOwn + joséOwn + rootOwn,
	} {
		files["etc/ssh/sshd_config"] = config
		s := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["authorized_keys"]
		got := strings.TrimSpace(s.Status.String()+" "+s.Reason) + ":"
		for _, row := range s.Rows {
			k := row.(*facts.AuthorizedKeyRow)
			got += " " + k.User + ":" + k.File
		}
		if got != want {
			t.Errorf("%q\n got  %s\n want %s", config, got, want)
		}
	}
	files["etc/group"], files["etc/ssh/sshd_config"] = "users:x:100:", "Match Group x\nAuthorizedKeysFile /k/a"
	if s := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["authorized_keys"]; s.Status != facts.StatusPartial || !strings.Contains(s.Reason, "groups") {
		t.Errorf("with a damaged file of groups: %s %q", s.Status, s.Reason)
	}
}

// TestIncludesWithoutEndAreTold has a file that includes itself, and folders of files that
// include each other: what stands behind is read, as far as it goes, and the section says
// that it is not all.
func TestIncludesWithoutEndAreTold(t *testing.T) {
	wide := map[string]string{}
	for i := range 50 {
		wide[fmt.Sprintf("etc/ssh/a%d.conf", i)] = "Include /etc/ssh/b*.conf\n"
		wide[fmt.Sprintf("etc/ssh/b%d.conf", i)] = "Port 22\n"
	}
	for name, files := range map[string]map[string]string{
		"loop": {"etc/ssh/sshd_config": "AuthorizedKeysFile /keys/%u\nInclude loop\nInclude loop\n", "etc/ssh/loop": "Include loop\nInclude loop\n"},
		"wide": wide,
	} {
		if name == "wide" {
			files["etc/ssh/sshd_config"] = "AuthorizedKeysFile /keys/%u\nInclude a*.conf\n"
		}
		files["etc/passwd"], files["keys/root"] = "root:x:0:0::/root:/bin/sh\n", testKey+"\n"
		s := probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["authorized_keys"]
		if s.Status != facts.StatusPartial || len(s.Rows) != 1 || !strings.Contains(s.Reason, "included") {
			t.Errorf("%s: %s %q with %d rows", name, s.Status, s.Reason, len(s.Rows))
		}
	}
	deep := map[string]string{"etc/ssh/sshd_config": "Include 1\n", "etc/ssh/16": "AuthorizedKeysFile /keys/%u\n",
		"etc/passwd": "root:x:0:0::/root:/bin/sh\n", "keys/root": testKey + "\n"}
	for i := 1; i < 16; i++ {
		deep[fmt.Sprintf("etc/ssh/%d", i)] = fmt.Sprintf("Include %d\n", i+1)
	}
	if s := probetest.Sections(probe.RootHost(probetest.Tree(t, deep)), New())["authorized_keys"]; s.Status != facts.StatusOK || len(s.Rows) != 1 {
		t.Errorf("as deep as sshd goes: %s %q with %d rows", s.Status, s.Reason, len(s.Rows))
	}
}

func FuzzAuthorizedKeys(f *testing.F) {
	f.Add(testKey + " c\nno-pty,command=\"a \\\" b\" " + testKey)
	f.Fuzz(func(t *testing.T, s string) {
		rows, _ := ParseAuthorizedKeys([]byte(s))
		for _, row := range rows {
			if k := row.(*facts.AuthorizedKeyRow); k.Type == "" || len(k.Fingerprint) != 50 {
				t.Errorf("%+v", k)
			}
		}
		_, values := sshdLine(s)
		matches(values, new(facts.UserRow), groupsOf{})
	})
}
