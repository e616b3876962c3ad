package sim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/shared/identity"
)

// TestAddressOfTheCollector is that of the tokens, which the state folder keeps for runs
// without any.
func TestAddressOfTheCollector(t *testing.T) {
	dir := t.TempDir()
	if _, err := keepAddress(dir, ""); err == nil || !strings.Contains(err.Error(), "--tokens FILE") {
		t.Error(err)
	}
	name := filepath.Join(dir, "tokens")
	if err := os.WriteFile(name, []byte(identity.Token{Address: "c1:7443"}.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := openTokens(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range []string{tokens.address(), ""} {
		if got, err := keepAddress(dir, address); err != nil || got != "c1:7443" {
			t.Errorf("given %q: %q, %v", address, got, err)
		}
	}
	if _, err := tokens.next(); err != nil {
		t.Errorf("the token was used up: %v", err)
	}
}
