package version

import (
	"slices"
	"testing"
)

var tables = []struct {
	scheme string
	rows   []string // a, relation, b
}{
	{"deb", []string{
		"1.0", "=", "1.0", "1.0", "<", "1.1", "1:0.1", ">", "9", "0:1", "=", "1",
		"1.0~rc1", "<", "1.0", "1.0~~", "<", "1.0~", "1.0~", "<", "1.0",
		"1.0-1", ">", "1.0", "1.0-0", "=", "1.0", "1.0", "<", "1.0a", "1.0a", "<", "1.0+",
		"1.010", "=", "1.10", "2.0-1-1", ">", "2.0-1", "1.2.3-4", "<", "1.2.3-4+deb12u1",
		"99999999999999999999999", "<", "100000000000000000000000", " 1.0 ", "=", "1.0",
	}},
	{"rpm", []string{
		"1.0", "=", "1.0", "1.0", "<", "2.0", "2.0.1", "<", "2.0.1a", "1.0~rc1", "<", "1.0",
		"1.0^", ">", "1.0", "1.0^git1", "<", "1.01", "1.0^git1~pre", "<", "1.0^git1",
		"1.0^20160101", "<", "1.0.1", "1.0~rc1^git1", ">", "1.0~rc1", "a", "<", "1",
		"1_0", "=", "1.0", "1:1-1", ">", "2-1", "0:1-1", "=", "1-1", "1-1", "<", "1-2", "1", "<", "1-1",
		"001", "=", "1", "1.fc4", "<", "1.8a",
	}},
	{"apk", []string{
		"1.2.3-r0", "<", "1.2.3-r1", "1.2_alpha", "<", "1.2", "1.2_p1", ">", "1.2",
		"1.2_rc1", ">", "1.2_beta9", "1.2_git20200101", "<", "1.2_p1", "1.2a", ">", "1.2",
		"1.2.03", "<", "1.2.1", "1.10", ">", "1.9", "9.6_p1-r0", "<", "9.6p1-r0",
		"1.0~abcdef", "<", "1.0~fedcba", "1.0_nonsense", "<", "1.0_p", "1.0-r1x", "<", "1.0-r1",
	}},
	{"semver", []string{
		"1.0.0-alpha", "<", "1.0.0-alpha.1", "1.0.0-alpha.1", "<", "1.0.0-alpha.beta",
		"1.0.0-beta.2", "<", "1.0.0-beta.11", "1.0.0-rc.1", "<", "1.0.0", "1.0.0+a", "=", "1.0.0+b",
		"v1.2.3", "=", "1.2.3", "1.2", "=", "1.2.0", "1.10.0", ">", "1.9.0",
	}},
	{"composer", []string{
		"1.0.0", "=", "v1.0.0", "1.0-dev", "<", "1.0-alpha1", "1.0a1", "<", "1.0-beta", "1.0beta2", "<", "1.0RC1", "1.0-RC1", "<", "1.0",
		"1.0", "<", "1.0-p1", "1.0", "<", "1.0.0", "1.10", ">", "1.9", "1.0_1", ">", "1.0",
	}},
	{"cran", []string{"1.0-2", "=", "1.0.2", "1.0", "<", "1.0.0", "1.10", ">", "1.9", "0.22", "<", "1"}},
	{"gem", []string{
		"1.0", "=", "1.0.0", "1.0.a", "<", "1.0", "1.0.b1", "<", "1.0.rc1", "1.0-1", "<", "1.0", "1.0.0.rc1", "=", "1.0.rc1",
		"5.2.4.1", ">", "5.2.4", "1.10", ">", "1.9.9", "2.0.b10", ">", "2.0.b9", "1.a", "<", "1.0.1",
	}},
	{"go", []string{
		"v1.2.3", "<", "v1.2.4-0.20200101000000-abcdefabcdef", "v0.0.0-20200101000000-bbbbbbbbbbbb", "<", "v0.0.0-20210101000000-aaaaaaaaaaaa",
		"v2.0.0+incompatible", "=", "v2.0.0", "v1.2.4-0.20200101000000-abcdefabcdef", "<", "v1.2.4",
	}},
	{"hackage", []string{"1.0", "<", "1.0.0", "1.10", ">", "1.9", "0", "<", "0.1"}},
	{"maven", []string{
		"1", "=", "1.0.0", "1.0-ga", "=", "1.0.final", "1-alpha", "<", "1-beta", "1-b2", "=", "1-beta-2", "1-milestone1", "<", "1-rc1",
		"1-rc", "<", "1-SNAPSHOT", "1-SNAPSHOT", "<", "1", "1", "<", "1-sp", "1-sp", "<", "1-xyz", "1-xyz", "<", "1-1", "1-1", "<", "1.1",
		"1.foo", "<", "1-foo", "1.10", ">", "1.9", "1.0.0-foo.0.0", "=", "1-foo", "1-1.foo-bar1baz-.1", "=", "1-1.foo-bar-1-baz-0.1", "1.foo", "<", "1-1",
	}},
	{"nuget", []string{"1.0", "=", "1.0.0.0", "1.0.0-BETA", "=", "1.0.0-beta", "1.0.0-a", "<", "1.0.0", "1.0.0.1", ">", "1.0", "1.0+a", "=", "1.0"}},
	{"pacman", []string{
		"1.0a", "<", "1.0", "1.0rc", "<", "1.0", "1.0", "<", "1.0.a", "1.0-1", "=", "1.0", "1:0.1", ">", "9", "1.0-1", "<", "1.0-1.1", "1..0", ">", "1.0",
		"1.0alpha", "<", "1.0b", "1.0.a", "<", "1.0.1", "001", "=", "1",
	}},
	{"pep440", []string{
		"1.0", "=", "1.0.0", "1.0.dev1", "<", "1.0a1", "1.0a1", "<", "1.0b1", "1.0b2", "<", "1.0rc1", "1.0c1", "=", "1.0rc1", "1.0rc1", "<", "1.0",
		"1.0", "<", "1.0.post1", "1.0-1", "=", "1.0.post1", "1.0.post1.dev2", "<", "1.0.post1", "1.0a1.dev1", "<", "1.0a1", "1!0.1", ">", "9",
		"1.0", "<", "1.0+local", "1.0+abc", "<", "1.0+5", "1.0+1", "<", "1.0+1.a", "1.0.post1", ">", "1.0+local", "1.10", ">", "1.9",
		"1.0-alpha.1", "=", "1.0a1", "1.0.Preview_2", "=", "1.0rc2", "french toast", "<", "0", "v1.0", "=", "1.0", "1.0.rev2", "=", "1.0.post2",
	}},
	{"pub", []string{"1.0.0-pre", "<", "1.0.0-pre+build", "1.2.3+1", "<", "1.2.3+2", "1.2.3+9", "<", "1.2.3+a", "1.0.0+1", ">", "1.0.0"}},
}

func TestCompareOrdersAsThePackageSystemsDo(t *testing.T) {
	for _, table := range tables {
		for row := range slices.Chunk(table.rows, 3) {
			want := map[string]int{"<": -1, "=": 0, ">": 1}[row[1]]
			for _, c := range []struct {
				a, b string
				want int
			}{{row[0], row[2], want}, {row[2], row[0], -want}} {
				got, err := Compare(table.scheme, c.a, c.b)
				if err != nil || got != c.want {
					t.Errorf("Compare(%s, %q, %q) = %d, %v; want %d", table.scheme, c.a, c.b, got, err, c.want)
				}
			}
		}
	}
}

func TestCompareRefusesWhatDpkgRefuses(t *testing.T) {
	for _, bad := range []string{"", " ", "1 2", "a:1", ":1", "-1:1", "2147483648:1", "1:", "1-", "-1"} {
		if got, err := Compare("deb", bad, "1"); err == nil {
			t.Errorf("Compare(deb, %q, 1) = %d, want an error", bad, got)
		}
	}
}

func TestCompareRefusesUnknownSchemes(t *testing.T) {
	if _, err := Compare("tex", "1", "2"); err == nil {
		t.Error("unknown scheme was taken")
	}
	if got := Schemes(); !slices.IsSorted(got) || len(got) != len(tables) {
		t.Errorf("Schemes() = %q", got)
	}
}

func TestSchemeKnowsSourcesOfPackages(t *testing.T) {
	for source, want := range map[string]string{"dpkg": "deb", "pip": "pep440", "npm": "semver", "rpm": "rpm", "maven": "maven", "go": "go", "nix": "", "": ""} {
		if got := Scheme(source); got != want {
			t.Errorf("Scheme(%q) = %q, want %q", source, got, want)
		}
	}
}

func TestCompareAllocatesNothing(t *testing.T) {
	pairs := map[string][2]string{
		"deb": {"1:2.66-4+deb12u2+b2", "1:2.66-4+deb12u3+b1"},
		"rpm": {"1:26.1-15.el8_10", "1:26.1-15.el8_8.2"},
		"apk": {"1.2.3_git20200101-r0", "1.2.3_git20200101-r1"},
	}
	for scheme, p := range pairs {
		n := testing.AllocsPerRun(100, func() {
			if _, err := Compare(scheme, p[0], p[1]); err != nil {
				t.Fatal(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", scheme, n)
		}
	}
}

// noOrder are schemes whose own tools do not agree with themselves about odd strings.
var noOrder = map[string]bool{"composer": true, "maven": true, "pacman": true}

// FuzzCompare proves that each scheme is an order: a against b is the opposite of b
// against a, equality is an equivalence, and smaller than smaller is smaller.
func FuzzCompare(f *testing.F) {
	for _, table := range tables {
		for row := range slices.Chunk(table.rows, 3) {
			f.Add(row[0], row[2], "1.0")
		}
	}
	f.Add("~", "^", ".")
	f.Add("1:~", "a^1", "1-r")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		for _, scheme := range Schemes() {
			ab, errAB := Compare(scheme, a, b)
			ba, errBA := Compare(scheme, b, a)
			if (errAB == nil) != (errBA == nil) || ab != -ba {
				t.Fatalf("%s: %q %q: %d %v, reversed %d %v", scheme, a, b, ab, errAB, ba, errBA)
			}
			if aa, err := Compare(scheme, a, a); aa != 0 {
				t.Fatalf("%s: %q against itself: %d, %v", scheme, a, aa, err)
			}
			bc, errBC := Compare(scheme, b, c)
			ac, errAC := Compare(scheme, a, c)
			if errAB != nil || errBC != nil || errAC != nil {
				continue
			}
			if !noOrder[scheme] && ab <= 0 && bc <= 0 && (ac > 0 || ac == 0 && (ab < 0 || bc < 0)) {
				t.Fatalf("%s: %q %d %q %d %q but %d", scheme, a, ab, b, bc, c, ac)
			}
		}
	})
}

func BenchmarkCompareDeb(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if c, err := compareDeb("1:2.66-4+deb12u2+b2", "1:2.66-4+deb12u3+b1"); c != -1 || err != nil {
			b.Fatal(c, err)
		}
	}
}
