package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"atalaya/collector/auth"
)

const (
	// headerTime and idleTime keep silent connections from holding memory.
	headerTime = 10 * time.Second
	readTime   = 30 * time.Second
	idleTime   = 2 * time.Minute
	maxHeader  = 32 << 10
	// shutdownTime is how long requests may go on when the collector stops.
	shutdownTime = 3 * time.Second
)

// Serve answers on the listeners until ctx ends, then lets running requests finish
// for a few seconds. It owns the listeners. Callers on a Unix socket are known by
// their user, all others by their token.
func (a *API) Serve(ctx context.Context, listeners ...net.Listener) error {
	server := &http.Server{
		Handler:           a,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(a.Log.Handler(), slog.LevelDebug),
		ConnContext:       withPeer,
	}
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { ended <- server.Serve(l) }()
	}
	var errs []error
	running := len(listeners)
	select {
	case <-ctx.Done():
	case err := <-ended:
		running--
		errs = append(errs, fmt.Errorf("serve API: %w", err))
	}
	// The time to stop is counted from now, so ctx, which has ended, cannot be the parent.
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		errs = append(errs, server.Close())
	}
	for range running {
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, fmt.Errorf("serve API: %w", err))
		}
	}
	return errors.Join(errs...)
}

// withPeer notes once for each connection who is at its other end.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return ctx
	}
	who, err := auth.Peer(unix)
	return context.WithValue(ctx, peerKey{}, peer{who: who, err: err})
}
