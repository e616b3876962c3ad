package sim

import (
	"slices"
	"strconv"

	"atalaya/shared/metric"
)

// Series are the metrics that each host of the fleet has; the index is the number.
func (f *Fleet) Series() []metric.Series {
	f.once.Do(func() { f.series = makeSeries(f.shape.Series) })
	return f.series
}

// families are the names of the fleet's series.
func (f *Fleet) families() []string {
	var names []string
	for _, s := range f.Series() {
		if !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// gauges and counters are the families of a simulated host; the counters have one
// series for each of as many devices as it takes.
var (
	gauges   = []*metric.Desc{&metric.Load1, &metric.Load5, &metric.Load15, &metric.MemTotal, &metric.MemAvailable, &metric.MemFree, &metric.MemCached, &metric.ProcsRunning}
	counters = []*metric.Desc{&metric.DiskReads, &metric.DiskReadBytes, &metric.DiskWrites, &metric.DiskWrittenBytes, &metric.DiskIOSeconds, &metric.NetworkReceiveBytes, &metric.NetworkReceivePackets}
)

func makeSeries(n int) []metric.Series {
	d := metric.NewDictionary(n, nil)
	for _, desc := range gauges {
		d.ID(desc)
	}
	for device := 0; len(d.Series()) < n; device++ {
		for _, desc := range counters {
			d.ID(desc, "dev"+strconv.Itoa(device)) // refused when there are enough
		}
	}
	return d.Series()
}

// Frame is what a host reads at a moment, in ms since 1970. Two of three counters
// stand still, as most of a real host's do.
func (f *Fleet) Frame(host int, at int64) metric.Frame {
	frame := metric.Frame{At: at}
	for i, s := range f.Series() {
		n := int64(host*31 + i*17)
		var v int64
		switch {
		case s.Kind == metric.Gauge:
			v = 1000 + (n+at/1000*7)%997
		case i%3 == 0:
			v = n + at/1000*(1+n%50)
		default:
			v = n * 4096
		}
		frame.Samples = append(frame.Samples, metric.Sample{Series: uint32(i), Value: float64(v)})
	}
	return frame
}
