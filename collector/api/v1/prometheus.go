package v1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// The result types of a metric query.
const (
	ResultVector = "vector"
	ResultMatrix = "matrix"
	ResultScalar = "scalar"
	ResultString = "string"
)

// PromResponse is the envelope of Prometheus' HTTP interface
// (https://prometheus.io/docs/prometheus/latest/querying/api/#format-overview).
type PromResponse struct {
	Status    string          `json:"status" doc:"success or error"`
	Data      json.RawMessage `json:"data,omitempty"`
	ErrorType string          `json:"errorType,omitempty"`
	Error     string          `json:"error,omitempty"`
	Warnings  []string        `json:"warnings,omitempty"`
	Infos     []string        `json:"infos,omitempty"`
}

// QueryData is the result of a metric query. Exactly one of the fields that
// Type names is meaningful.
type QueryData struct {
	Type   string
	Vector []VectorSample
	Matrix []MatrixSeries
	Scalar Point
	String StringPoint
}

// VectorSample is one series at one moment.
type VectorSample struct {
	Metric map[string]string `json:"metric"`
	Value  Point             `json:"value"`
}

// MatrixSeries is one series over a range of time.
type MatrixSeries struct {
	Metric map[string]string `json:"metric"`
	Values []Point           `json:"values"`
}

// Metadata describes a family of series.
type Metadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// Point is a value at a moment; in JSON [seconds, "value"].
type Point struct {
	At    int64 // milliseconds since 1970 UTC
	Value float64
}

// Time returns the moment.
func (p Point) Time() time.Time { return time.UnixMilli(p.At).UTC() }

// MarshalJSON implements json.Marshaler.
func (p Point) MarshalJSON() ([]byte, error) {
	b := appendSeconds([]byte{'['}, p.At)
	b = append(b, ',', '"')
	b = strconv.AppendFloat(b, p.Value, 'f', -1, 64)
	return append(b, '"', ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *Point) UnmarshalJSON(b []byte) error {
	at, text, err := decodePair(b)
	if err != nil {
		return err
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return fmt.Errorf("sample value %q: %w", text, err)
	}
	*p = Point{At: at, Value: v}
	return nil
}

// StringPoint is a text at a moment; in JSON [seconds, "text"].
type StringPoint struct {
	At   int64 // milliseconds since 1970 UTC
	Text string
}

// MarshalJSON implements json.Marshaler.
func (p StringPoint) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(p.Text)
	if err != nil {
		return nil, err
	}
	b := appendSeconds([]byte{'['}, p.At)
	b = append(append(b, ','), text...)
	return append(b, ']'), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *StringPoint) UnmarshalJSON(b []byte) (err error) {
	p.At, p.Text, err = decodePair(b)
	return err
}

func appendSeconds(b []byte, ms int64) []byte {
	return strconv.AppendFloat(b, float64(ms)/1000, 'f', -1, 64)
}

func decodePair(b []byte) (ms int64, text string, err error) {
	var pair []json.RawMessage
	var seconds float64
	if err := json.Unmarshal(b, &pair); err != nil {
		return 0, "", err
	}
	if len(pair) != 2 {
		return 0, "", fmt.Errorf("sample has %d parts, want 2", len(pair))
	}
	if err := json.Unmarshal(pair[0], &seconds); err != nil {
		return 0, "", fmt.Errorf("sample time: %w", err)
	}
	if math.Abs(seconds) > math.MaxInt64/1e4 {
		return 0, "", fmt.Errorf("sample time %g is out of range", seconds)
	}
	if err := json.Unmarshal(pair[1], &text); err != nil {
		return 0, "", fmt.Errorf("sample value: %w", err)
	}
	return int64(math.Round(seconds * 1000)), text, nil
}

type queryDataJSON struct {
	ResultType string          `json:"resultType"`
	Result     json.RawMessage `json:"result"`
}

// MarshalJSON gives the form that Prometheus gives.
func (d QueryData) MarshalJSON() ([]byte, error) {
	var result any
	switch d.Type {
	case ResultVector:
		result = orEmpty(d.Vector)
	case ResultMatrix:
		result = orEmpty(d.Matrix)
	case ResultScalar:
		result = d.Scalar
	case ResultString:
		result = d.String
	default:
		return nil, fmt.Errorf("query result of unknown type %q", d.Type)
	}
	raw, err := json.Marshal(result)
	if err != nil {
		return nil, err
	}
	return json.Marshal(queryDataJSON{ResultType: d.Type, Result: raw})
}

// UnmarshalJSON is the inverse of MarshalJSON.
func (d *QueryData) UnmarshalJSON(b []byte) error {
	var raw queryDataJSON
	if err := json.Unmarshal(b, &raw); err != nil {
		return err
	}
	*d = QueryData{Type: raw.ResultType}
	var target any
	switch raw.ResultType {
	case ResultVector:
		target = &d.Vector
	case ResultMatrix:
		target = &d.Matrix
	case ResultScalar:
		target = &d.Scalar
	case ResultString:
		target = &d.String
	default:
		return fmt.Errorf("query result of unknown type %q", raw.ResultType)
	}
	return json.Unmarshal(bytes.TrimSpace(raw.Result), target)
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
