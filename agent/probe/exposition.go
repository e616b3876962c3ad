package probe

import (
	"cmp"
	"encoding/json"
	"io"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"

	"atalaya/shared/metric"
)

// WriteExposition writes the samples of a result in the text format that Prometheus
// scrapes (version 0.0.4), families and series sorted by name and labels:
// https://prometheus.io/docs/instrumenting/exposition_formats/
func WriteExposition(w io.Writer, res Result) error {
	var b []byte
	family := ""
	for _, s := range sorted(res) {
		if s.family != family {
			family = s.family
			b = appendHead(b, s)
		}
		b = append(b, s.Name...)
		b = appendLabels(b, s.Labels)
		b = append(b, ' ')
		b = appendValue(b, s.value)
		b = append(b, '\n')
	}
	_, err := w.Write(b)
	return err
}

// reading is a sample with its series and its family.
type reading struct {
	metric.Series
	family string
	kind   string // of the family, as Prometheus calls it
	help   string
	value  float64
}

func sorted(res Result) []reading {
	out := make([]reading, 0, len(res.Frame.Samples))
	for _, s := range res.Frame.Samples {
		r := reading{Series: res.Series[s.Series], value: s.Value}
		r.family = res.Families.Of(r.Name)
		if f, ok := res.Families[r.family]; ok {
			r.kind, r.help = f.Type, f.Help
		} else {
			r.kind, r.help = metric.TypeOf(r.Series), metric.HelpOf(r.Name)
		}
		out = append(out, r)
	}
	sort.SliceStable(out, func(i, j int) bool {
		a, b := out[i], out[j]
		if a.family == b.family && a.kind == b.kind && inParts(a.kind) {
			return false // the order of the file, which has the bounds of buckets by their size
		}
		return cmp.Or(cmp.Compare(a.family, b.family), cmp.Compare(a.Name, b.Name), slices.CompareFunc(a.Labels, b.Labels, func(x, y metric.Label) int {
			return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
		})) < 0
	})
	return out
}

var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func appendHead(b []byte, s reading) []byte {
	if s.help != "" {
		b = append(b, "# HELP "+s.family+" "+helpEscapes.Replace(s.help)+"\n"...)
	}
	return append(b, "# TYPE "+s.family+" "+s.kind+"\n"...)
}

func appendLabels(b []byte, labels []metric.Label) []byte {
	for i, l := range labels {
		b = append(b, "{,"[min(i, 1)])
		b = append(b, l.Name+`="`+labelEscapes.Replace(l.Value)+`"`...)
	}
	if len(labels) > 0 {
		b = append(b, '}')
	}
	return b
}

func appendValue(b []byte, v float64) []byte {
	switch {
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	case math.IsInf(v, -1):
		return append(b, "-Inf"...)
	case math.IsNaN(v):
		return append(b, "NaN"...)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// SampleJSON is a sample as JSON shows it.
type SampleJSON struct {
	Name   string            `json:"name"`
	Type   string            `json:"type"`
	Labels map[string]string `json:"labels,omitempty"`
	Value  *float64          `json:"value"` // null: one that JSON cannot hold (NaN, infinities)
}

// SamplesJSON returns the samples of a result in the order of WriteExposition.
func SamplesJSON(res Result) []SampleJSON {
	out := []SampleJSON{}
	for _, s := range sorted(res) {
		shown := SampleJSON{Name: s.Name, Type: s.kind}
		if !math.IsNaN(s.value) && !math.IsInf(s.value, 0) {
			shown.Value = &s.value
		}
		for _, l := range s.Labels {
			if shown.Labels == nil {
				shown.Labels = make(map[string]string, len(s.Labels))
			}
			shown.Labels[l.Name] = l.Value
		}
		out = append(out, shown)
	}
	return out
}

// WriteJSON writes the samples of a result as one JSON document.
func WriteJSON(w io.Writer, res Result) error {
	doc := struct {
		Schema  string       `json:"schema"`
		AtMilli int64        `json:"at_milliseconds"`
		Samples []SampleJSON `json:"samples"`
	}{Schema: "atalaya.metrics/1", AtMilli: res.Frame.At, Samples: SamplesJSON(res)}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}
