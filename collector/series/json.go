package series

import (
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
)

// MarshalJSON returns the "data" of Prometheus' query answers,
// {"resultType":...,"result":...}.
func (r *Result) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil) }

// AppendJSON appends what MarshalJSON returns. It exists because answers may hold
// millions of points; format and number forms are those of Prometheus (web/api/v1
// json_codec.go, util/jsonutil).
func (r *Result) AppendJSON(dst []byte) ([]byte, error) {
	dst = append(dst, `{"resultType":"`...)
	dst = append(dst, r.value.Type()...)
	dst = append(dst, `","result":`...)
	var err error
	switch v := r.value.(type) {
	case promql.Scalar:
		dst = appendPoint(dst, v.T, v.V)
	case promql.String:
		dst = append(dst, '[')
		dst = appendSeconds(dst, v.T)
		dst = append(dst, ',')
		dst = appendString(dst, v.V)
		dst = append(dst, ']')
	case promql.Vector:
		dst, err = appendArray(dst, v, appendSample)
	case promql.Matrix:
		dst, err = appendArray(dst, v, appendSeries)
	}
	return append(dst, '}'), err
}

func appendArray[T any](dst []byte, items []T, one func([]byte, T) ([]byte, error)) ([]byte, error) {
	dst = append(dst, '[')
	var err error
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = one(dst, item); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendSample(dst []byte, s promql.Sample) ([]byte, error) {
	dst = append(dst, `{"metric":`...)
	dst = appendLabels(dst, s.Metric)
	var err error
	if s.H == nil {
		dst = append(dst, `,"value":`...)
		dst = appendPoint(dst, s.T, s.F)
	} else {
		dst = append(dst, `,"histogram":`...)
		dst, err = appendHistogram(dst, promql.HPoint{T: s.T, H: s.H})
	}
	return append(dst, '}'), err
}

func appendSeries(dst []byte, s promql.Series) ([]byte, error) {
	dst = append(dst, `{"metric":`...)
	dst = appendLabels(dst, s.Metric)
	var err error
	if len(s.Floats) > 0 {
		dst = append(dst, `,"values":`...)
		dst, _ = appendArray(dst, s.Floats, func(dst []byte, p promql.FPoint) ([]byte, error) {
			return appendPoint(dst, p.T, p.F), nil
		})
	}
	if len(s.Histograms) > 0 {
		dst = append(dst, `,"histograms":`...)
		dst, err = appendArray(dst, s.Histograms, appendHistogram)
	}
	return append(dst, '}'), err
}

// appendHistogram is for native histograms, which no agent of ours sends.
func appendHistogram(dst []byte, p promql.HPoint) ([]byte, error) {
	b, err := json.Marshal(p)
	return append(dst, b...), err
}

func appendLabels(dst []byte, ls labels.Labels) []byte {
	dst = append(dst, '{')
	first := true
	ls.Range(func(l labels.Label) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, l.Name)
		dst = append(dst, ':')
		dst = appendString(dst, l.Value)
	})
	return append(dst, '}')
}

func appendPoint(dst []byte, t int64, v float64) []byte {
	dst = append(dst, '[')
	dst = appendSeconds(dst, t)
	dst = append(dst, ',', '"')
	form := byte('f')
	if abs := math.Abs(v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e' // NaN and the infinities have only one form
	}
	dst = strconv.AppendFloat(dst, v, form, -1, 64)
	return append(dst, '"', ']')
}

// appendSeconds writes milliseconds as seconds, 1.5 as "1.500".
func appendSeconds(dst []byte, ms int64) []byte {
	if ms < 0 {
		dst = append(dst, '-')
		ms = -ms
	}
	dst = strconv.AppendInt(dst, ms/1000, 10)
	if f := ms % 1000; f != 0 {
		dst = append(dst, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
	}
	return dst
}

// appendString writes plain ASCII as it is and leaves the rest to encoding/json.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			b, _ := json.Marshal(s) // a string always has a form
			return append(dst, b...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
