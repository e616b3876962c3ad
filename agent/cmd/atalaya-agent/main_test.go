package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// play runs the program with the given input and returns what it printed.
func play(t *testing.T, input string, args ...string) (out, talk string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(args, strings.NewReader(input), &o, &e)
	return o.String(), e.String(), code
}

func TestInventoryOfARootKeepsItsContract(t *testing.T) {
	root := probetest.Tree(t, probetest.Files(t, "debian-12-software"))
	out, talk, code := play(t, "", "inventory", "--root", root, "--section", "packages", "--section", "patches", "--format", "json")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, talk)
	}
	var doc struct {
		Schema      string `json:"schema"`
		CollectedAt string `json:"collected_at"`
		Host        map[string]any
		Sections    map[string]map[string]any
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Schema != "atalaya.inventory/1" || doc.CollectedAt == "" || doc.Host == nil {
		t.Errorf("head: %+v", doc)
	}
	want(t, doc.Sections["packages"], "status", "rows")
	want(t, doc.Sections["patches"], "status", "rows", "verdict")
	row := doc.Sections["packages"]["rows"].([]any)[0].(map[string]any)
	want(t, row, "name", "version", "arch", "source")
	if _, ok := doc.Sections["users"]; ok {
		t.Error("a section that was not asked for is there")
	}
}

func want(t *testing.T, doc map[string]any, keys ...string) {
	t.Helper()
	for _, k := range keys {
		if _, ok := doc[k]; !ok {
			t.Errorf("no %q in %.200v", k, doc)
		}
	}
}

func TestTablesAreHarmlessForATerminal(t *testing.T) {
	passwd := "root:x:0:0:root:/root:/bin/sh\nevil:x:1:1:\x1b[2J\u202eabc:/:/bin/sh\n"
	root := probetest.Tree(t, map[string]string{"etc/passwd": passwd, "etc/group": "root:x:0:\n"})
	out, talk, code := play(t, "", "inventory", "--root", root, "--section", "users")
	if code != 0 || !strings.Contains(out, "evil") {
		t.Fatalf("exit %d: %s%s", code, out, talk)
	}
	if strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("control characters reach the terminal: %q", out)
	}
}

func TestMetricsOfARoot(t *testing.T) {
	root := probetest.Tree(t, probetest.Files(t, "debian-12-metrics"))
	out, talk, code := play(t, "", "metrics", "--root", root)
	if code != 0 || !strings.Contains(out, "# TYPE node_load1 gauge\nnode_load1 ") {
		t.Errorf("exit %d: %s%.300s", code, talk, out)
	}
	if strings.Contains(out, "node_filesystem_size_bytes") {
		t.Error("the live machine was asked for the size of a file system")
	}
	out, _, _ = play(t, "", "metrics", "--root", root, "--compat", "node")
	if strings.Contains(out, "\natalaya_") {
		t.Error("--compat node has metrics that node_exporter does not have")
	}
	out, _, code = play(t, "", "metrics", "--root", root, "--format", "json")
	if code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit %d, JSON: %.100s", code, out)
	}
}

func TestVercmpAnswersLineByLine(t *testing.T) {
	out, talk, code := play(t, "1.2~rc1\t1.2\n1:0\t9\n1\t1\n", "vercmp", "--scheme", "deb")
	if code != 0 || out != "-1\n1\n0\n" {
		t.Errorf("exit %d: %q %s", code, out, talk)
	}
}

func TestVercmpGoesOnAfterALineThatItCannotCompare(t *testing.T) {
	out, talk, code := play(t, "1\t2\nnonsense\n1\tx y\n\n3\t2\n1\t2\t3\n", "vercmp", "--scheme", "dpkg")
	if want := "-1\n?\n?\n?\n1\n?\n"; code != exitFailed || out != want {
		t.Errorf("exit %d: %q, want %q", code, out, want)
	}
	for _, line := range []string{"line 2: want two versions", "line 3: ", "line 4: ", "line 6: ", "4 of 6 lines could not be compared"} {
		if !strings.Contains(talk, line) {
			t.Errorf("not said: %q in\n%s", line, talk)
		}
	}
}

func TestVercmpGoesOnAfterALineThatIsTooLong(t *testing.T) {
	long := strings.Repeat("1", maxVersionLine)
	for _, c := range []struct{ in, out string }{
		{"1\t2\n" + long + "\t" + long + "\n2\t1\r\n1\t1", "-1\n?\n1\n0\n"},
		{"1\t2\n" + long + "\t1", "-1\n?\n"},
		{long + "\n" + long + "1\n1\t1\n", "?\n?\n0\n"},
	} {
		out, talk, code := play(t, c.in, "vercmp", "--scheme", "deb")
		if code != exitFailed || out != c.out || !strings.Contains(talk, ": longer than 1048576 bytes\n") {
			t.Errorf("exit %d: %q, want %q: %s", code, out, c.out, talk)
		}
	}
	var talk strings.Builder
	err := compareLines("deb", io.MultiReader(strings.NewReader("1\t1\n"), iotest.ErrReader(io.ErrUnexpectedEOF)), io.Discard, &talk)
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("an input that fails: %v", err)
	}
}

func TestParsePrintsWhatCouldBeReadAndFailsOnTheRest(t *testing.T) {
	const whole = "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
	out, talk, code := play(t, whole, "parse", "var/lib/dpkg", "-")
	if code != 0 || !strings.Contains(out, `"name": "a"`) || !json.Valid([]byte(out)) {
		t.Errorf("whole: exit %d: %s%s", code, out, talk)
	}
	out, talk, code = play(t, whole+"Package: b\nSta", "parse", "dpkg", "-")
	if code != exitFailed || !strings.Contains(out, `"name": "a"`) || talk == "" {
		t.Errorf("cut: exit %d: %s%s", code, out, talk)
	}
	if _, talk, code = play(t, "", "parse", "dpkg", filepath.Join(t.TempDir(), "none")); code != exitFailed {
		t.Errorf("no file: exit %d: %s", code, talk)
	}
}

func TestParseOfSeveralFilesKeepsTheGoodOnes(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a": "root:x:0:0:root:/root:/bin/sh\n", "b": "{}\n", "c": "me:x:1000:1000::/home/me:/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := filepath.Join(dir, "a"), filepath.Join(dir, "b"), filepath.Join(dir, "c")
	out, talk, code := play(t, "", "parse", "passwd", a, b, c, filepath.Join(dir, "none"))
	if code != exitFailed || !strings.Contains(out, `"root"`) || !strings.Contains(out, `"me"`) || !json.Valid([]byte(out)) {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
	if !strings.Contains(talk, b+": not passwd: ") || !strings.Contains(talk, "want lines NAME:PASSWORD") || !strings.Contains(talk, "no such file") {
		t.Errorf("what is wrong is not said: %s", talk)
	}
	if out, talk, code := play(t, "", "parse", "passwd", b); code != exitFailed || out != "" {
		t.Errorf("nothing read: exit %d: %q %s", code, out, talk)
	}
}

func TestParseListsItsKinds(t *testing.T) {
	for _, args := range [][]string{{"parse"}, {"parse", "--list"}} {
		out, talk, code := play(t, "", args...)
		if code != 0 || !strings.Contains(out, "\n  dpkg ") || !strings.Contains(out, "\n  x509 ") || talk != "" {
			t.Errorf("%v: exit %d: %.200s%s", args, code, out, talk)
		}
	}
}

func TestParseTakesKindsBySimilarNames(t *testing.T) {
	for _, kind := range []string{"resolv-conf", "resolv.conf", "etc/resolv_conf", "resolv", "reso"} {
		if out, talk, code := play(t, "nameserver 192.0.2.1\n", "parse", kind, "-"); code != 0 || !strings.Contains(out, "192.0.2.1") {
			t.Errorf("%s: exit %d: %s%s", kind, code, out, talk)
		}
	}
	file := filepath.Join(t.TempDir(), "net_route2")
	if err := os.WriteFile(file, []byte("eth0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, talk, code := play(t, "", "parse", "linux/proc", file); code != 0 || !strings.Contains(out, "192.0.2.1") {
		t.Errorf("exit %d: %s%s", code, out, talk)
	}
	if _, talk, code := play(t, "", "parse", "apt", "-"); code != exitUsage || !strings.Contains(talk, `kinds begin with "apt", apt-conf and apt-packages`) {
		t.Errorf("exit %d: %s", code, talk)
	}
}

func TestWrongCallsEndWithTwoAndSayWhereHelpIs(t *testing.T) {
	for _, args := range [][]string{
		{"inventry"}, {"inventory", "--frmat", "json"}, {"inventory", "--format", "xml"}, {"inventory", "extra"},
		{"metrics", "--compat", "telegraf"}, {"vercmp"}, {"vercmp", "--scheme", "none"}, {"enroll"}, {"parse", "dpkg"}, {"parse", "none", "-"},
	} {
		_, talk, code := play(t, "1\t1\n", args...)
		if code != exitUsage || !strings.Contains(talk, "--help") {
			t.Errorf("%v: exit %d: %s", args, code, talk)
		}
	}
}

func TestStatusOfAHostThatIsNotEnrolledNamesEnroll(t *testing.T) {
	for _, verb := range []string{"status", "cost"} {
		if _, talk, code := play(t, "", verb, "--state", t.TempDir()); code != exitFailed || !strings.Contains(talk, "not enrolled; run: atalaya-agent enroll") {
			t.Errorf("%s: exit %d: %s", verb, code, talk)
		}
	}
}

func TestNothingToReadIsNotSupported(t *testing.T) {
	for _, compat := range []string{"", "node"} {
		_, talk, code := play(t, "", "metrics", "--root", t.TempDir(), "--compat", compat)
		if code != exitUnsupported || !strings.Contains(talk, "give the folder that holds proc, sys and etc") {
			t.Errorf("compat %q: exit %d: %s", compat, code, talk)
		}
	}
}

func TestAMistypedCommandIsAnsweredOnOneLine(t *testing.T) {
	_, talk, _ := play(t, "", "enrol")
	if want := "atalaya-agent: unknown command \"enrol\" for \"atalaya-agent\": did you mean enroll?\nSee: atalaya-agent --help\n"; talk != want {
		t.Errorf("%q, want %q", talk, want)
	}
	if got := oneLine("a\n\n\tb\n"); got != "a; b" {
		t.Errorf("%q", got)
	}
}

func TestAMistypedSectionIsAnsweredWithThoseLikeIt(t *testing.T) {
	for name, want := range map[string]string{
		"pakages": "did you mean packages? (`atalaya-agent inventory --help` lists all)", "Listening-Sockets": "did you mean listening_sockets?",
		"disks": "(`atalaya-agent inventory --help` lists them)", "user": "did you mean users?", "patch": "did you mean patches, patch_state?",
		"x": "(`atalaya-agent inventory --help` lists them)",
	} {
		_, talk, code := play(t, "", "inventory", "--section", name)
		if lines := strings.Split(talk, "\n"); code != exitUsage || !strings.Contains(talk, want) || len(lines[0]) > 200 {
			t.Errorf("%s: exit %d: %s", name, code, talk)
		}
	}
	out, _, _ := play(t, "", "inventory", "--help")
	_, list, ok := strings.Cut(out, "The sections are:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	if got := strings.Fields(list); !ok || len(got) != len(facts.Sections()) || !slices.Contains(got, "pools") {
		t.Errorf("%d of %d sections in the help: %s", len(got), len(facts.Sections()), list)
	}
	for line := range strings.Lines(list) {
		if len(line) > helpWidth+1 {
			t.Errorf("too wide: %s", line)
		}
	}
}

func TestAFileThatIsNotThereNamesTheNextStep(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	garbled := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(garbled, []byte("at1_AQ'x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"enroll", "--token-file", none, "--state", t.TempDir()}, "atalaya token create"},
		{[]string{"enroll", "--token-file", garbled, "--state", t.TempDir()}, garbled + ": the token is mistyped: character 7 does not belong there; copy all of it"},
		{[]string{"inventory", "--config", none}, "name a file that is there"},
		{[]string{"status", "--config", none}, "name a file that is there"},
	} {
		if _, talk, code := play(t, "", c.args...); code != exitFailed || !strings.Contains(talk, c.want) {
			t.Errorf("%v: exit %d: %s", c.args, code, talk)
		}
	}
}
