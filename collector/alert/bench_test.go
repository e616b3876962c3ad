package alert

import (
	"fmt"
	"testing"
)

// BenchmarkTenThousandAlertsThatGoOn evaluates a rule that holds for as many hosts as before.
func BenchmarkTenThousandAlertsThatGoOn(b *testing.B) {
	r := newRig(b, oneRule)
	hosts := make([]string, maxPerRule)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("host%05d", i)
	}
	r.query.set(hosts...)
	r.eval()
	for b.Loop() {
		r.now = r.now.Add(DefaultInterval)
		r.eval()
	}
}
