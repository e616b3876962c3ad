// Package metric defines time series as both sides see them: descriptions with
// units, series with labels, and frames of samples taken at one moment.
//
// Series use base units only (seconds, bytes, ratio 0 to 1), and where
// node_exporter has a name for a reading, that name and its labels are used, so
// that a fleet's dashboards and rules work unchanged. Series numbers are local to
// one agent and epoch; the collector maps them per connection.
package metric

// Kind tells counters from gauges.
type Kind uint8

// The kinds. The numbers are on the wire.
const (
	Gauge   Kind = 0 // goes up and down
	Counter Kind = 1 // only grows, restarts at zero
)

// String returns the Prometheus type name.
func (k Kind) String() string {
	if k == Counter {
		return "counter"
	}
	return "gauge"
}

// Desc describes a family of series.
type Desc struct {
	Name string
	Help string
	Kind Kind
	// Decimals is how many decimal places readings have at their source (2 for
	// clock ticks of 10 ms). Such values travel as integers; any other value is
	// carried exactly, only dearer.
	Decimals uint8
	// Labels are the label names, sorted; a series gives their values in this order.
	Labels []string
}

// Label is one name and value.
type Label struct{ Name, Value string }

// Series is one time series of a host. The host's own labels are added by the collector.
type Series struct {
	Name     string
	Kind     Kind
	Decimals uint8
	Labels   []Label // sorted by name
}

// Sample is one reading. Series is a number from a Dictionary.
type Sample struct {
	Series uint32
	Value  float64
}

// Frame is the samples of one moment, sorted by series number, each number at most once.
type Frame struct {
	At      int64 // milliseconds since 1970 UTC
	Samples []Sample
}

// Dictionary numbers series in order of first sight, from 0. It grows only; Limit
// bounds it, so that hostile names (process titles, mount points) cannot fill the
// agent's memory. Not safe for concurrent use.
type Dictionary struct {
	series  []Series
	ids     map[string]uint32
	scratch []byte
	limit   int
	refused uint64
}

// NewDictionary returns a dictionary of at most limit series that starts with the given ones.
func NewDictionary(limit int, series []Series) *Dictionary {
	d := &Dictionary{ids: make(map[string]uint32, len(series)), limit: limit}
	for _, s := range series {
		d.scratch = appendName(d.scratch[:0], s.Name)
		for _, l := range s.Labels {
			d.scratch = appendName(d.scratch, l.Value)
		}
		d.ids[string(d.scratch)] = uint32(len(d.series))
		d.series = append(d.series, s)
	}
	return d
}

// ID returns the number of the series of desc with the given label values, one for
// each of desc.Labels; ok is false when the dictionary is full. It allocates only
// at the first sight of a series.
func (d *Dictionary) ID(desc *Desc, values ...string) (id uint32, ok bool) {
	d.scratch = appendName(d.scratch[:0], desc.Name)
	for _, v := range values {
		d.scratch = appendName(d.scratch, v)
	}
	if id, ok := d.ids[string(d.scratch)]; ok {
		return id, true
	}
	if len(d.series) >= d.limit {
		d.refused++
		return 0, false
	}
	s := Series{Name: desc.Name, Kind: desc.Kind, Decimals: desc.Decimals}
	for i, v := range values {
		s.Labels = append(s.Labels, Label{desc.Labels[i], string(append([]byte(nil), v...))})
	}
	id = uint32(len(d.series))
	d.ids[string(d.scratch)] = id
	d.series = append(d.series, s)
	return id, true
}

// Series returns all series; the index is the number. The caller must not change it.
func (d *Dictionary) Series() []Series { return d.series }

// Refused counts readings that found the dictionary full.
func (d *Dictionary) Refused() uint64 { return d.refused }

func appendName(dst []byte, s string) []byte {
	dst = append(dst, s...)
	return append(dst, 0xff) // never part of valid UTF-8
}

// StaleBits is the NaN that marks the end of a series, as in Prometheus
// (model/value: StaleNaN).
const StaleBits uint64 = 0x7ff0000000000002
