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
		if s.Name != family {
			family = s.Name
			b = appendHead(b, s.Series)
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

// reading is a sample with its series.
type reading struct {
	metric.Series
	value float64
}

func sorted(res Result) []reading {
	out := make([]reading, 0, len(res.Frame.Samples))
	for _, s := range res.Frame.Samples {
		out = append(out, reading{res.Series[s.Series], s.Value})
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return cmp.Or(cmp.Compare(a.Name, b.Name), slices.CompareFunc(a.Labels, b.Labels, func(x, y metric.Label) int {
			return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
		})) < 0
	})
	return out
}

var (
	helpEscapes  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func appendHead(b []byte, s metric.Series) []byte {
	if help := metric.HelpOf(s.Name); help != "" {
		b = append(b, "# HELP "+s.Name+" "+helpEscapes.Replace(help)+"\n"...)
	}
	return append(b, "# TYPE "+s.Name+" "+metric.TypeOf(s)+"\n"...)
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
		shown := SampleJSON{Name: s.Name, Type: metric.TypeOf(s.Series)}
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
