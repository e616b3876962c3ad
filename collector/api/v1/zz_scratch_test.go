package v1

import (
	"context"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"
)

func TestScratchAPI(t *testing.T) {
	c := NewSocketClient(os.Getenv("SOCK"))
	defer c.Close()
	cpu := func() time.Duration {
		var u syscall.Rusage
		syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for _, limit := range []int{100, 1} {
		var took []time.Duration
		b := cpu()
		for range 1000 {
			begin := time.Now()
			p, err := c.Packages(context.Background(), PackageQuery{Name: "openssl", Below: "3.0.12", Page: Page{Limit: limit}})
			if err != nil || len(p.Packages) != limit {
				t.Fatal(err, len(p.Packages))
			}
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		t.Log(limit, took[0], took[500], took[900], took[990], "client CPU", (cpu()-b)/1000)
	}
}
