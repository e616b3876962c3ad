package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestADamagedStateSaysTheNextStep(t *testing.T) {
	dir := t.TempDir()
	f := func(read func(string) (string, error), file, content string, want ...string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := read(dir)
		for _, w := range want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s with %q: %v, want %q", file, content, err, w)
			}
		}
	}
	f(collectorAddress, "host.pem", "junk", "enroll --replace")
	f(readAddress, "collector", "nowhere\n", filepath.Join(dir, "collector"), `"nowhere"`, "host:port")
	f(readAddress, "collector", "", "host:port")
	if err := mayEnroll(dir, false); err == nil || !strings.Contains(err.Error(), "enroll --replace") {
		t.Errorf("enroll: %v", err)
	}
}
