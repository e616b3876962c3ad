package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"atalaya/collector/api/v1"
)

const (
	defaultPoints = 60   // of a range without --step
	trendColumns  = 30   // of the drawn line
	minStep       = 1000 // milliseconds; agents read no faster
)

func (c *client) metricCommands() *cobra.Command {
	return noun("metric", "Time series, asked in PromQL", c.metricQuery())
}

func (c *client) metricQuery() *cobra.Command {
	var length, step, at string
	cmd := &cobra.Command{
		Use:   "query EXPR",
		Short: "Evaluate a PromQL expression, now or over a range of time",
		Example: "  atalaya metric query 'node_load1'\n" +
			"  atalaya metric query 'node_memory_MemAvailable_bytes{host=\"web1\"}' --range 6h\n" +
			"  atalaya metric query 'rate(node_network_receive_bytes_total[5m])' --range 1h --step 1m --output csv",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var end time.Time
			if at != "" {
				var err error
				if end, _, err = v1.ParseMoment(at, c.env.Now()); err == nil {
					_, err = v1.ParseState(at, c.env.Now()) // is there such a moment?
				}
				if err != nil {
					return usagef("--at: %w", err)
				}
			}
			return c.call(cmd.Context(), func(ctx context.Context, api *v1.Client) error {
				if length == "" && step == "" {
					doc, err := api.Query(ctx, args[0], end)
					return c.showMetrics(doc, err)
				}
				if end.IsZero() {
					end = c.env.Now()
				}
				span, each, err := rangeOf(length, step)
				if err != nil {
					return err
				}
				doc, err := api.QueryRange(ctx, args[0], end.Add(-span), end, each)
				return c.showMetrics(doc, err)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&length, "range", "", "evaluate over this `duration` up to --at, e.g. 1h")
	f.StringVar(&step, "step", "", "`duration` between the points of a range (default a 60th of it)")
	f.StringVar(&at, "at", "", "`time` to evaluate at (default now)")
	return cmd
}

func rangeOf(length, step string) (span, each time.Duration, err error) {
	if length == "" {
		return 0, 0, usagef("--step needs --range")
	}
	if span, err = v1.ParseDuration(length); err != nil {
		return 0, 0, usage{fmt.Errorf("--range: %w", err)}
	}
	if step == "" {
		return span, max(span/defaultPoints, minStep*time.Millisecond).Round(time.Second), nil
	}
	if each, err = v1.ParseDuration(step); err != nil {
		return 0, 0, usage{fmt.Errorf("--step: %w", err)}
	}
	if each == 0 {
		return 0, 0, usagef("--step must be longer than nothing")
	}
	return span, each, nil
}

func (c *client) showMetrics(doc v1.PromResponse, err error) error {
	if err != nil {
		return err
	}
	for _, w := range doc.Warnings {
		c.say("warning: " + w)
	}
	var data v1.QueryData
	if err := json.Unmarshal(doc.Data, &data); err != nil {
		return fmt.Errorf("answer of the collector: %w", err)
	}
	return c.show(doc, func() view {
		switch data.Type {
		case v1.ResultVector:
			return list(vectorTable(data.Vector), noSeries)
		case v1.ResultMatrix:
			if c.output == formatCSV {
				return list(pointTable(data.Matrix), noSeries)
			}
			return list(trendTable(data.Matrix), noSeries)
		case v1.ResultScalar:
			t := table{columns: []column{{title: "VALUE", name: "value", right: true}, {name: "time", exact: true}}}
			t.add(float(data.Scalar.Value), moment(data.Scalar.Time()))
			return list(t, noSeries)
		}
		t := table{columns: []column{{title: "VALUE", name: "value"}}}
		t.add(text(data.String.Text))
		return list(t, noSeries)
	})
}

const noSeries = "no series match"

// labelColumns are the labels of all series, the host first; numbers of hosts are
// for programs only.
func labelColumns(sets []map[string]string) []column {
	var names []string
	for _, set := range sets {
		for name := range set {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return strings.Compare(labelOrder(a), labelOrder(b))
	})
	var out []column
	for _, name := range slices.Compact(names) {
		title := strings.ToUpper(name)
		if name == "__name__" {
			title = "METRIC"
		}
		out = append(out, column{title: title, name: name, exact: name == "host_id"})
	}
	return out
}

func labelOrder(name string) string {
	switch name {
	case "host":
		return "\x00"
	case "__name__":
		return "\x01"
	}
	return name
}

func labelCells(columns []column, set map[string]string) []cell {
	cells := make([]cell, len(columns))
	for i, c := range columns {
		cells[i] = text(set[c.name])
	}
	return cells
}

func vectorTable(vector []v1.VectorSample) table {
	sets := make([]map[string]string, len(vector))
	for i, s := range vector {
		sets[i] = s.Metric
	}
	columns := labelColumns(sets)
	t := table{columns: append(slices.Clone(columns), column{title: "VALUE", name: "value", right: true}, column{name: "time", exact: true})}
	for _, s := range vector {
		t.rows = append(t.rows, append(labelCells(columns, s.Metric), float(s.Value.Value), moment(s.Value.Time())))
	}
	return t
}

func matrixSets(matrix []v1.MatrixSeries) []map[string]string {
	sets := make([]map[string]string, len(matrix))
	for i, s := range matrix {
		sets[i] = s.Metric
	}
	return sets
}

// pointTable holds a row for each point, for programs.
func pointTable(matrix []v1.MatrixSeries) table {
	columns := labelColumns(matrixSets(matrix))
	t := table{columns: append(slices.Clone(columns), column{title: "TIME", name: "time"}, column{title: "VALUE", name: "value", right: true})}
	for _, s := range matrix {
		for _, p := range s.Values {
			t.rows = append(t.rows, append(labelCells(columns, s.Metric), moment(p.Time()), float(p.Value)))
		}
	}
	return t
}

// trendTable holds a row for each series, for people.
func trendTable(matrix []v1.MatrixSeries) table {
	columns := labelColumns(matrixSets(matrix))
	t := table{columns: append(slices.Clone(columns), column{title: "LOWEST", right: true}, column{title: "HIGHEST", right: true},
		column{title: "LAST", right: true}, column{title: "TREND"})}
	for _, s := range matrix {
		low, high, last := math.Inf(1), math.Inf(-1), math.NaN()
		values := make([]float64, len(s.Values))
		for i, p := range s.Values {
			values[i], last = p.Value, p.Value
			low, high = min(low, p.Value), max(high, p.Value)
		}
		t.rows = append(t.rows, append(labelCells(columns, s.Metric), float(low), float(high), float(last), text(trend(values, trendColumns))))
	}
	return t
}
