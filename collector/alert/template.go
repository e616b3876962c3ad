package alert

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/template"

	"atalaya/collector/series"
)

// templateVariables are what Prometheus defines before each template.
const templateVariables = "{{$labels := .Labels}}{{$externalLabels := .ExternalLabels}}{{$externalURL := .ExternalURL}}{{$value := .Value}}"

// expander expands the templates of one sample.
type expander struct {
	ctx   context.Context // of the evaluation; an expander does not outlive it
	query Querier
	base  *url.URL
	at    time.Time
	rule  string
	data  any
}

func (e *Engine) newExpander(ctx context.Context, r *rule, s series.Sample, at time.Time) expander {
	base, err := url.Parse(e.cfg.ExternalURL)
	if err != nil {
		base = &url.URL{}
	}
	data := template.AlertTemplateData(labelMap(s), map[string]string{}, e.cfg.ExternalURL, promql.Sample{F: s.Value})
	return expander{ctx, e.cfg.Query, base, at, r.alert, data}
}

// expand never fails: an alert with a broken text is better than none, so the error
// becomes the text, as in Prometheus.
func (x expander) expand(text string) string {
	if !strings.Contains(text, "{{") {
		return text
	}
	t := template.NewTemplateExpander(x.ctx, templateVariables+text, "alert "+x.rule, x.data,
		model.TimeFromUnixNano(x.at.UnixNano()), x.vector, x.base, nil)
	out, err := t.Expand()
	if err != nil {
		return fmt.Sprintf("<error expanding template: %s>", err)
	}
	return out
}

// asking reports whether a template may call query or now, the functions whose results
// differ where labels and value of an alert are the same.
func asking(texts map[string]string) bool {
	for _, text := range texts {
		if strings.Contains(text, "query") || strings.Contains(text, "now") {
			return true
		}
	}
	return false
}

func (x expander) all(texts map[string]string) map[string]string {
	out := make(map[string]string, len(texts))
	for k, text := range texts {
		out[k] = x.expand(text)
	}
	return out
}

// vector is the template function "query".
func (x expander) vector(ctx context.Context, expr string, at time.Time) (promql.Vector, error) {
	v, err := x.query.Instant(ctx, expr, at)
	if err != nil {
		return nil, err
	}
	out := make(promql.Vector, len(v))
	for i, s := range v {
		m := make(map[string]string, len(s.Labels))
		for _, l := range s.Labels {
			m[l.Name] = l.Value
		}
		out[i] = promql.Sample{T: s.At, F: s.Value, Metric: labels.FromMap(m)}
	}
	return out, nil
}
