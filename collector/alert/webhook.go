package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Webhook is the receiver: one URL that takes Alertmanager's webhook messages.
type Webhook struct {
	Name      string // of the receiver in messages; default "webhook"
	URL       string // or URLFile
	URLFile   string // holds the URL, which may contain a secret; read at each delivery
	TokenFile string // holds a bearer token; read at each delivery; empty: none
	Timeout   time.Duration
	// NoResolved leaves resolved alerts out.
	NoResolved bool
	MaxAlerts  int // in a message; 0: all. More are counted in truncatedAlerts
	// GroupWait is how long the first message of a group waits for more alerts,
	// GroupInterval the time between messages of a group. Defaults 10 s and 1 min:
	// shorter than Alertmanager's 30 s and 5 min, which add to a rule's `for`.
	GroupWait, GroupInterval time.Duration
}

const (
	defaultWebhookTimeout = 10 * time.Second
	defaultGroupWait      = 10 * time.Second
	defaultGroupInterval  = time.Minute
	maxSecretFile         = 64 << 10
)

func (w Webhook) withDefaults() Webhook {
	if w.Name == "" {
		w.Name = "webhook"
	}
	if w.Timeout <= 0 {
		w.Timeout = defaultWebhookTimeout
	}
	if w.GroupWait <= 0 {
		w.GroupWait = defaultGroupWait
	}
	if w.GroupInterval <= 0 {
		w.GroupInterval = defaultGroupInterval
	}
	return w
}

// Check reports what is wrong with the configuration.
func (w Webhook) Check() error {
	if (w.URL == "") == (w.URLFile == "") {
		return errors.New("webhook: give either url or url_file")
	}
	if _, err := w.address(); err != nil {
		return err
	}
	_, err := w.token()
	return err
}

// address returns the URL. Errors do not show it, as it may contain a secret.
func (w Webhook) address() (string, error) {
	address := w.URL
	if w.URLFile != "" {
		var err error
		if address, err = readSecret(w.URLFile); err != nil {
			return "", fmt.Errorf("webhook url: %w", err)
		}
	}
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("webhook url is not an http or https address")
	}
	return address, nil
}

func (w Webhook) token() (string, error) {
	if w.TokenFile == "" {
		return "", nil
	}
	token, err := readSecret(w.TokenFile)
	if err != nil {
		return "", fmt.Errorf("webhook token: %w", err)
	}
	return token, nil
}

func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSecretFile))
	return strings.TrimSpace(string(b)), err
}

// message is the body of Alertmanager's webhook, version "4" (prometheus.io,
// alerting/latest/configuration, webhook_config).
type message struct {
	Receiver          string            `json:"receiver"`
	Status            string            `json:"status"`
	Alerts            []messageAlert    `json:"alerts"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Version           string            `json:"version"`
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"`
}

type messageAlert struct {
	Status       string            `json:"status"`
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // the year 1 while it fires, as Alertmanager does
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// newMessage makes the message of a group, which is all alerts of one name. The
// alerts are those to tell, most important first.
func newMessage(w Webhook, externalURL, rule string, alerts []Alert) message {
	m := message{
		Receiver: w.Name, Status: string(Resolved), Alerts: []messageAlert{},
		GroupLabels: map[string]string{alertName: rule},
		ExternalURL: externalURL, Version: "4",
		GroupKey: fmt.Sprintf("{}:{%s=%q}", alertName, rule),
	}
	for i, a := range alerts {
		if i == 0 {
			m.CommonLabels, m.CommonAnnotations = maps.Clone(a.Labels), maps.Clone(a.Annotations)
		}
		keepCommon(m.CommonLabels, a.Labels)
		keepCommon(m.CommonAnnotations, a.Annotations)
		if a.State == Firing {
			m.Status = string(Firing)
		}
		if w.MaxAlerts > 0 && i >= w.MaxAlerts {
			m.TruncatedAlerts++
			continue
		}
		m.Alerts = append(m.Alerts, messageAlert{
			Status: string(a.State), Labels: a.Labels, Annotations: a.Annotations,
			StartsAt: a.FiredAt.UTC(), EndsAt: a.ResolvedAt.UTC(),
			GeneratorURL: externalURL + "/api/v1/query?query=" + url.QueryEscape(a.Expr),
			Fingerprint:  a.Fingerprint,
		})
	}
	return m
}

func keepCommon(common, other map[string]string) {
	maps.DeleteFunc(common, func(k, v string) bool {
		o, ok := other[k]
		return !ok || o != v
	})
}

// refusal is an answer of the receiver that retrying does not change.
type refusal struct{ status string }

func (r *refusal) Error() string { return "receiver refused: " + r.status }

// post delivers a message. It does not follow redirects: they could carry alerts and
// token to another place.
func (w Webhook) post(ctx context.Context, client *http.Client, m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	address, err := w.address()
	if err != nil {
		return err
	}
	token, err := w.token()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, w.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return errors.New("webhook url is not an address")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "atalaya")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	if err != nil {
		var hidden *url.Error // its text shows the URL
		if errors.As(err, &hidden) {
			err = hidden.Err
		}
		return fmt.Errorf("deliver alerts: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection can be used again
	return verdict(resp)
}

func verdict(resp *http.Response) error {
	switch c := resp.StatusCode; {
	case c/100 == 2:
		return nil
	case c/100 == 5, c == http.StatusRequestTimeout, c == http.StatusTooManyRequests:
		return fmt.Errorf("deliver alerts: receiver answered %s", resp.Status)
	}
	return &refusal{resp.Status}
}
