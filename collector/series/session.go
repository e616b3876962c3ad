package series

import (
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// The labels that the collector adds.
const (
	// nameLabel holds the name of a series.
	nameLabel   = "__name__"
	hostLabel   = "host"
	hostIDLabel = "host_id"
	// exportedPrefix marks an agent's own label of a name that the collector sets.
	exportedPrefix = "exported_"
)

// Limits on what an agent may define. Names come from our own probes and are far
// below; values may be mount points or device names, which Linux bounds at 4,096
// and 255 bytes. A series beyond a limit is refused, not cut: two cut values could
// become one series.
const (
	maxNameLen    = 200
	maxValueLen   = 1024
	maxSeriesTags = 30
	// numbersPerSeries is how many numbers a session may define for each series a
	// host may have: numbers of series that ended are not used again.
	numbersPerSeries = 4
)

// Session is one agent's series by number. Define and Append may be called from
// different goroutines.
type Session struct {
	db     *DB
	hostID string
	name   string

	mu         sync.Mutex // guards all below
	generation uint64     // of the engine that refs belong to
	entries    []entry    // by number

	lastAt  int64  // newest frame taken, Unix ms
	clearTo int64  // no sample of the host is stored in (lastAt, clearTo]
	pending uint64 // number of the Appender that holds frames of this session
}

// entry is a defined series. Its labels are empty when it was refused or not defined.
type entry struct {
	ref    storage.SeriesRef // 0: not yet known
	labels labels.Labels
}

// Session returns a session for the host with the given name. It holds no resource
// of the database and needs no closing.
func (d *DB) Session(host identity.HostID, name string) *Session {
	return &Session{db: d, hostID: host.String(), name: name}
}

// Define names the series of a number. A number may be defined again. An error says
// why the series is refused; samples of that number are then counted as Refused.
func (s *Session) Define(number uint32, desc metric.Series) error {
	if int(number) >= s.db.cfg.HostSeries*numbersPerSeries {
		return fmt.Errorf("series %q: number %d is beyond the limit", desc.Name, number)
	}
	ls, err := s.labels(desc)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := int(number) + 1; n > len(s.entries) {
		s.entries = slices.Grow(s.entries, n-len(s.entries))[:n]
	}
	s.entries[number] = entry{labels: ls}
	return err
}

// labels returns the full label set of a series, empty if it is refused.
func (s *Session) labels(desc metric.Series) (labels.Labels, error) {
	if err := checkSeries(desc); err != nil {
		return labels.EmptyLabels(), err
	}
	b := labels.NewScratchBuilder(len(desc.Labels) + 3)
	add := func(name, value string) {
		if value != "" { // an empty label is none
			b.Add(name, value)
		}
	}
	for _, l := range desc.Labels {
		name := l.Name
		if name == hostLabel || name == hostIDLabel {
			for name = exportedPrefix + name; has(desc.Labels, name); {
				name = exportedPrefix + name
			}
		}
		add(name, l.Value)
	}
	add(nameLabel, desc.Name)
	add(hostLabel, s.name)
	add(hostIDLabel, s.hostID)
	b.Sort()
	return b.Labels(), nil
}

func has(ls []metric.Label, name string) bool {
	return slices.ContainsFunc(ls, func(l metric.Label) bool { return l.Name == name && l.Value != "" })
}

// checkSeries applies the data model's rules for names (prometheus.io,
// concepts/data_model, the classic character set) and our limits.
func checkSeries(desc metric.Series) error {
	if len(desc.Name) > maxNameLen || !model.LegacyValidation.IsValidMetricName(desc.Name) {
		return fmt.Errorf("series name %.60q is not valid", desc.Name)
	}
	if len(desc.Labels) > maxSeriesTags {
		return fmt.Errorf("series %q: %d labels, at most %d", desc.Name, len(desc.Labels), maxSeriesTags)
	}
	for i, l := range desc.Labels {
		if err := checkLabel(l); err != nil {
			return fmt.Errorf("series %q: %w", desc.Name, err)
		}
		if slices.ContainsFunc(desc.Labels[:i], func(o metric.Label) bool { return o.Name == l.Name }) {
			return fmt.Errorf("series %q: label %q twice", desc.Name, l.Name)
		}
	}
	return nil
}

func checkLabel(l metric.Label) error {
	switch {
	case len(l.Name) > maxNameLen || !model.LegacyValidation.IsValidLabelName(l.Name):
		return fmt.Errorf("label name %.60q is not valid", l.Name)
	case len(l.Name) >= 2 && l.Name[:2] == "__":
		return fmt.Errorf("label name %q is reserved", l.Name)
	case len(l.Value) > maxValueLen:
		return fmt.Errorf("label %q: value of %d bytes, at most %d", l.Name, len(l.Value), maxValueLen)
	case !utf8.ValidString(l.Value):
		return fmt.Errorf("label %q: value %.60q is not UTF-8", l.Name, l.Value)
	}
	return nil
}
