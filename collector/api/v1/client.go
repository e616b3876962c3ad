package v1

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	// maxResponse bounds a document that the client takes: a host's whole
	// inventory is a few megabytes at most.
	maxResponse = 256 << 20
	// maxTokenFile bounds the file a token is read from.
	maxTokenFile = 4096
	// dialTimeout: a collector that does not answer the connection is down.
	dialTimeout = 5 * time.Second
)

// Client speaks to one collector. Safe for concurrent use.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// NewSocketClient returns a client of the collector on this machine, through its
// Unix socket. The kernel tells the collector who calls; no token is needed.
func NewSocketClient(path string) *Client {
	dialer := net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		},
	}
	return &Client{base: &url.URL{Scheme: "http", Host: "localhost"}, http: newHTTPClient(transport)}
}

// NewClient returns a client of the collector at server, an URL or HOST:PORT.
// Plain HTTP is only taken to this machine itself, so that a token never crosses a
// network readable.
func NewClient(server, token string) (*Client, error) {
	if !strings.Contains(server, "://") {
		server = defaultScheme(server) + "://" + server
	}
	base, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("server %q: %w", server, err)
	}
	if base.Host == "" || base.User != nil || strings.Trim(base.Path, "/") != "" || base.RawQuery != "" {
		return nil, fmt.Errorf("server %q: want https://HOST:PORT", server)
	}
	if base.Scheme != "https" && (base.Scheme != "http" || !isLoopback(base.Hostname())) {
		return nil, fmt.Errorf("server %q: only https, or http to this machine itself", server)
	}
	base.Path = ""
	dialer := net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{DialContext: dialer.DialContext, TLSHandshakeTimeout: dialTimeout}
	return &Client{base: base, token: token, http: newHTTPClient(transport)}, nil
}

func newHTTPClient(transport *http.Transport) *http.Client {
	return &http.Client{
		Transport: transport,
		// The collector never redirects; following one could carry the token elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func defaultScheme(server string) string {
	host, _, err := net.SplitHostPort(server)
	if err == nil && isLoopback(host) {
		return "http"
	}
	return "https"
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// ReadTokenFile returns the token that is the content of the file.
func ReadTokenFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	defer f.Close() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxTokenFile+1))
	if err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || len(b) > maxTokenFile || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("token file %s: want one token and nothing else", path)
	}
	return token, nil
}

// call sends a request to the path below /api/v1/ and decodes the answer into out.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	resp, err := c.send(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // only read
	if out == nil {
		return nil
	}
	return decode(resp.Body, out)
}

func decode(r io.Reader, out any) error {
	dec := json.NewDecoder(io.LimitReader(r, maxResponse))
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("answer of the collector: %w", err)
	}
	return nil
}

// send returns the answer if it is a success.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, in any) (*http.Response, error) {
	u := c.base.String() + "/api/v1/" + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, transportError(err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close() // only read
		return nil, refusal(resp)
	}
	return resp, nil
}

// transportError strips the URL that net/http puts before the cause: it holds
// nothing that the user typed.
func transportError(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// refusal turns an answer that is no success into an Error.
func refusal(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("answer of the collector: %w", err)
	}
	var p Problem
	if json.Unmarshal(b, &p) == nil && p.Status != 0 {
		return &Error{Problem: p}
	}
	p = Problem{Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode}
	var prom PromResponse
	if json.Unmarshal(b, &prom) == nil && prom.Error != "" {
		p.Code, p.Detail = prom.ErrorType, prom.Error
	}
	return &Error{Problem: p}
}

// segment makes a name one segment of a path. Slashes are escaped, and so are the
// names that would mean a folder.
func segment(name string) string {
	switch name {
	case ".":
		return "%2E"
	case "..":
		return "%2E%2E"
	}
	return url.PathEscape(name)
}

// values collects query parameters, leaving out those that are empty.
type values url.Values

func (v values) set(name, value string) values {
	if value != "" {
		url.Values(v).Set(name, value)
	}
	return v
}

func (v values) time(name string, t time.Time) values {
	if t.IsZero() {
		return v
	}
	return v.set(name, FormatMoment(t))
}

func (v values) flag(name string, on bool) values {
	if !on {
		return v
	}
	return v.set(name, "true")
}

func (v values) page(p Page) url.Values {
	if p.Limit > 0 {
		v.set("limit", strconv.Itoa(p.Limit))
	}
	return url.Values(v.set("cursor", p.Cursor))
}

func fetch[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	var out T
	err := c.call(ctx, http.MethodGet, path, query, nil, &out)
	return out, err
}

// post is call for what changes something and answers with a document.
func post[T any](ctx context.Context, c *Client, path string, in any) (T, error) {
	var out T
	err := c.call(ctx, http.MethodPost, path, nil, in, &out)
	return out, err
}

// Close ends connections that are kept for the next call.
func (c *Client) Close() { c.http.CloseIdleConnections() }
