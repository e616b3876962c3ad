package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/auth"
)

const (
	// maxBody bounds request bodies: the largest is a rule file.
	maxBody = 1 << 20
	// maxFile bounds those of asset managers: a file of 16 MiB that is imported, in base64.
	maxFile = 23 << 20
	// requestTime bounds the work for one request, as Prometheus bounds a query by
	// 2 minutes; dashboards give up after 30 s. Work with a limit of its own (package
	// query) must have ended before, to say why.
	requestTime = 30 * time.Second
	// maxRequests are worked on at once; the next ones are refused, not queued, so
	// that a flood costs no memory.
	maxRequests = 128
)

// guard is the one door in front of all handlers: it knows the routes, finds out
// who calls, asks the permission table, and bounds size, time and number of
// requests. It is the mux that huma registers its routes with.
type guard struct {
	mux     *http.ServeMux
	table   map[string]auth.Permission
	routes  []string
	tokens  Verifier
	slots   chan struct{}
	log     *slog.Logger
	methods []string
}

func newGuard(config Config, table map[string]auth.Permission) *guard {
	g := &guard{
		mux: http.NewServeMux(), table: table, tokens: config.Tokens, log: config.Log,
		slots:   make(chan struct{}, maxRequests),
		methods: []string{http.MethodGet, http.MethodPost, http.MethodDelete},
	}
	g.mux.HandleFunc("/", g.wrap(auth.Read, g.unrouted))
	return g
}

// HandleFunc registers a handler for "METHOD /path".
func (g *guard) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	g.routes = append(g.routes, pattern)
	permission, ok := g.table[pattern]
	if !ok {
		return // check refuses to start
	}
	g.mux.HandleFunc(pattern, g.wrap(permission, handler))
}

// ServeHTTP implements http.Handler.
func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.mux.ServeHTTP(w, r) }

// check compares the routes with the permission table.
func (g *guard) check() error {
	var errs []error
	for _, route := range g.routes {
		if _, ok := g.table[route]; !ok {
			errs = append(errs, fmt.Errorf("route %q has no permission", route))
		}
	}
	for route := range g.table {
		if !slices.Contains(g.routes, route) {
			errs = append(errs, fmt.Errorf("permission for %q, which is no route", route))
		}
	}
	return errors.Join(errs...)
}

// wrap puts the checks in front of a handler.
func (g *guard) wrap(permission auth.Permission, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		setHeaders(w.Header())
		late := &lateWriter{ResponseWriter: w}
		defer g.recovered(late, r)
		select {
		case g.slots <- struct{}{}:
			defer func() { <-g.slots }()
		default:
			writeProblem(w, problemOf(ErrBusy))
			return
		}
		who, err := g.admit(permission, r)
		if err != nil {
			g.refuse(w, r, err)
			return
		}
		ctx := context.WithValue(r.Context(), principalKey{}, who)
		if permission != auth.Backup && permission != auth.Scrub { // the whole state takes as long as it takes
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, requestTime)
			defer cancel()
		}
		limit := int64(maxBody)
		if permission == auth.ManageAssets {
			limit = maxFile
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		handler(late, r.WithContext(ctx))
		late.commit()
	}
}

// setHeaders tells browsers that nothing here is a page.
func setHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}

// admit returns the caller if it may do this. It looks at nothing but the caller
// and the permission: whether an object exists never shows in the answer.
func (g *guard) admit(permission auth.Permission, r *http.Request) (auth.Principal, error) {
	if permission == auth.Public {
		return auth.Principal{}, nil
	}
	who, err := g.identify(r)
	if err != nil {
		return auth.Principal{}, err
	}
	if !who.Role.Allows(permission) {
		return auth.Principal{}, fmt.Errorf("%w (it is %s)", errForbidden, who.Role)
	}
	return who, nil
}

// identify takes the token if there is one, and else what the kernel says of the
// other end of the socket.
func (g *guard) identify(r *http.Request) (auth.Principal, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, text, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return auth.Principal{}, errUnauthorised
		}
		return g.tokens.Verify(strings.TrimSpace(text))
	}
	if peer, ok := r.Context().Value(peerKey{}).(peer); ok {
		return peer.who, peer.err
	}
	return auth.Principal{}, errUnauthorised
}

func (g *guard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="atalaya"`)
	}
	g.failed(r.Method, r.URL.Path, p)
	writeProblem(w, p)
}

// failed logs what is our own failure: the answer sends its reader to the log.
func (g *guard) failed(method, path string, p *problem) {
	if p.Status == http.StatusInternalServerError || p.Status == http.StatusInsufficientStorage {
		g.log.Error("request failed", "method", method, "path", path, "err", p.cause)
	}
}

// unrouted answers what no route matches: 405 when another method would.
func (g *guard) unrouted(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range g.methods {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := g.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblem(w, problemOf(fmt.Errorf("%w: it takes %s", errNoMethod, strings.Join(allowed, ", "))))
		return
	}
	writeProblem(w, problemOf(fmt.Errorf("%w: no such route; /openapi.json lists them", ErrNotFound)))
}

// recovered keeps a handler's panic to its own request.
func (g *guard) recovered(w *lateWriter, r *http.Request) {
	cause := recover()
	if cause == nil {
		return
	}
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause) // how a handler tells net/http to cut the connection
	}
	g.log.Error("handler panicked", "method", r.Method, "path", r.URL.Path, "cause", cause, "stack", string(debug.Stack()))
	writeProblem(w, problemOf(fmt.Errorf("panic: %v", cause)))
}

// lateWriter sends the status with the first byte of the body: until then an answer can
// still become a problem, though huma gives the status before it makes the body.
type lateWriter struct {
	http.ResponseWriter
	status int
	sent   bool
}

// WriteHeader implements http.ResponseWriter.
func (w *lateWriter) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *lateWriter) Write(b []byte) (int, error) {
	w.commit()
	return w.ResponseWriter.Write(b)
}

// Unwrap gives the connection's own writer to http.ResponseController.
func (w *lateWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *lateWriter) commit() {
	if !w.sent && w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	w.sent = true
}

// marshal writes an answer as JSON; one that JSON cannot hold is our own failure.
func (g *guard) marshal(w io.Writer, v any) error {
	b, err := v1.Encode(v, "")
	if late, ok := w.(*lateWriter); ok && err != nil {
		g.log.Error("an answer cannot be written", "err", err)
		writeProblem(late, problemOf(fmt.Errorf("answer: %w", err)))
		return nil
	}
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	return err
}

type principalKey struct{}

// principal returns who makes the request of ctx.
func principal(ctx context.Context) auth.Principal {
	who, _ := ctx.Value(principalKey{}).(auth.Principal)
	return who
}

type peerKey struct{}

// peer is what the kernel says of the other end of a Unix socket connection.
type peer struct {
	who auth.Principal
	err error
}
