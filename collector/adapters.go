package collector

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"time"

	"atalaya/collector/auth"
	"atalaya/collector/enroll"
	"atalaya/collector/ingest"
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// ingest declares what it needs and knows no store; this file fits the stores to it.

// sink is the store of facts as ingest sees it.
type sink struct{ *store.Store }

func (s sink) Hello(host identity.HostID, h wire.Hello, at time.Time) (uint64, error) {
	high, err := s.Store.Hello(host, h, at)
	if errors.Is(err, store.ErrUnknownHost) {
		return 0, &ingest.Refusal{Code: wire.CodeUnknownHost, Reason: "this host is not known here: enrol it again with a new token"}
	}
	if errors.Is(err, store.ErrCorrupt) {
		return 0, ingest.Damaged(err)
	}
	return high, err
}

func (s sink) Apply(_ context.Context, ds []ingest.Delivery) ([]ingest.Outcome, error) {
	in := make([]store.Delivery, len(ds))
	for i, d := range ds {
		in[i] = store.Delivery{Host: d.Host, Batch: *d.Batch, Received: d.Received}
	}
	out, err := s.Store.Apply(in)
	if err != nil {
		return nil, err
	}
	outcomes := make([]ingest.Outcome, len(out))
	for i, o := range out {
		outcomes[i] = ingest.Outcome{Duplicate: o.Duplicate, Resync: o.Resync, Err: o.Err, Failed: o.Failed}
	}
	return outcomes, nil
}

// samples is the store of metrics as ingest sees it.
type samples struct{ *series.DB }

func (m samples) Session(host identity.HostID, hostname string) ingest.MetricSession {
	return m.DB.Session(host, hostname)
}

func (m samples) Begin(ctx context.Context) ingest.Appender {
	return appender{m.DB.Begin(ctx)}
}

type appender struct{ *series.Appender }

func (a appender) Append(s ingest.MetricSession, at int64, samples []metric.Sample) {
	a.Appender.Append(s.(*series.Session), at, samples) // what is not stored is in series.Stats
}

// authority is the CA as ingest sees it.
type authority struct{ *enroll.Authority }

func (a authority) Enroll(ctx context.Context, r wire.EnrollRequest, from netip.Addr) wire.EnrollReply {
	return a.Authority.Enroll(ctx, r, from.String())
}

func (a authority) Verify(cert *x509.Certificate) (identity.HostID, error) {
	id, code, reason := a.Authority.Verify(cert)
	if code != wire.CodeNone {
		return id, &ingest.Refusal{Code: code, Reason: reason}
	}
	return id, nil
}

// tokenRecords is where API tokens rest.
type tokenRecords struct{ *store.Store }

const tableTokens = "auth.tokens"

func (r tokenRecords) View(fn func(auth.Table) error) error {
	return r.Store.View(func(tx *store.Tx) error { return fn(tx.Table(tableTokens)) })
}

func (r tokenRecords) Update(fn func(auth.Table) error) error {
	return r.Store.Update(func(tx *store.Tx) error { return fn(tx.Table(tableTokens)) })
}
