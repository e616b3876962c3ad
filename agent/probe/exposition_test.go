package probe

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"atalaya/shared/metric"
)

func TestExpositionEscapesAndSorts(t *testing.T) {
	p := metricProbe("p", func(_ context.Context, _ *Host, r *Report) error {
		r.Sample(&metric.Load1, 0.5)
		r.Sample(&metric.FilesystemSize, 1<<40, `C:\x`, "ext4", "/a \"b\"\nc")
		r.Sample(&metric.CPUSeconds, 12.25, "1", "user")
		r.Sample(&metric.CPUSeconds, math.NaN(), "0", "user")
		return nil
	})
	res := RunOnce(t.Context(), RootHost(t.TempDir()), p)
	var b strings.Builder
	if err := WriteExposition(&b, res); err != nil {
		t.Fatal(err)
	}
	want := `# HELP node_cpu_seconds_total Seconds each CPU spent in each mode.
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="user"} NaN
node_cpu_seconds_total{cpu="1",mode="user"} 12.25
# HELP node_filesystem_size_bytes Size, in bytes.
# TYPE node_filesystem_size_bytes gauge
node_filesystem_size_bytes{device="C:\\x",fstype="ext4",mountpoint="/a \"b\"\nc"} 1.099511627776e+12
# HELP node_load1 1 minute load average.
# TYPE node_load1 gauge
node_load1 0.5
`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	b.Reset()
	if err := WriteJSON(&b, res); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Samples []struct {
			Name   string
			Labels map[string]string
			Value  *float64
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &doc); err != nil {
		t.Fatal(err)
	}
	if n := len(doc.Samples); n != 4 || doc.Samples[0].Value != nil || doc.Samples[2].Labels["mountpoint"] != "/a \"b\"\nc" {
		t.Errorf("document is %+v", doc)
	}
}
