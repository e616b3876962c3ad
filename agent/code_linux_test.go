package agent

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestPagesOfTakesWhatNothingWritesTo(t *testing.T) {
	const exe, spoolFile = "/usr/bin/atalaya agent", "/var/lib/atalaya agent/spool.db"
	tests := []struct {
		line string
		want bool
	}{
		{"00400000-00a2d000 r-xp 00000000 08:01 131                        /usr/bin/atalaya agent", true},
		{"00a2d000-01058000 r--p 0062d000 08:01 131                        /usr/bin/atalaya agent", true},
		{"01058000-010d8000 rw-p 00c58000 08:01 131                        /usr/bin/atalaya agent", false},
		{"7f5876600000-7f5876800000 r--s 00000000 08:01 77                     /var/lib/atalaya agent/spool.db", true},
		{"7f5876600000-7f5876800000 rw-s 00000000 08:01 77                     /var/lib/atalaya agent/spool.db", false},
		{"7f5876600000-7f5876800000 r--s 00000000 08:01 77                     /var/lib/atalaya agent/spool.db (deleted)", false},
		{"7f8d35800000-7f8d35a00000 r--p 00000000 08:01 9                  /usr/lib/other.so", false},
		{"7ffd48ed7000-7ffd48ef8000 r-xp 00000000 00:00 0                  [vdso]", false},
		{"330e94000000-330e96000000 ---p 00000000 00:00 0 ", false},
		{"00a2d000-00400000 r-xp 00000000 08:01 131 /usr/bin/atalaya agent", false},
		{"zz-00400000 r-xp 00000000 08:01 131 /usr/bin/atalaya agent", false},
		{"", false},
	}
	for _, tt := range tests {
		from, to, ok := pagesOf([]byte(tt.line), exe, spoolFile)
		if ok != tt.want {
			t.Errorf("%q: got %v, want %v", tt.line, ok, tt.want)
		}
		if ok && (from == 0 || to <= from) {
			t.Errorf("%q: %x to %x", tt.line, from, to)
		}
	}
}

func TestReleaseFilesGivesThemBackAndTheProgramRunsOn(t *testing.T) {
	before := residentOfFiles(t)
	releaseFiles("")
	after := residentOfFiles(t)
	t.Logf("resident of files: %d kB before, %d kB after", before, after)
	if after >= before {
		t.Errorf("resident of files: %d kB before, %d kB after", before, after)
	}
}

func residentOfFiles(t *testing.T) (kB int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), "RssFile:")
	if !ok {
		t.Skip("this kernel does not tell")
	}
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}
