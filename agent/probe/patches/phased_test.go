package patches

import "testing"

// The draws were made by a C++ program with libstdc++ 12.
func TestPhaseDrawEqualsTheOneOfApt(t *testing.T) {
	for seed, want := range map[string]int{
		"linux-6.8.0-51.52-0123456789abcdef0123456789abcdef":         60,
		"openssl-3.0.13-0ubuntu3.5-0123456789abcdef0123456789abcdef": 57,
		"a-1-": 4,
		"glibc-2.39-0ubuntu8.4-ffffffffffffffffffffffffffffffff": 74,
		"snapd-2.67.1+24.04-deadbeefdeadbeefdeadbeefdeadbeef":    73,
	} {
		if got := phaseDraw(seed); got != want {
			t.Errorf("phaseDraw(%q) = %d, want %d", seed, got, want)
		}
	}
}
