package collector

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"

	"atalaya/collector/auth"
	"atalaya/collector/enroll"
	"atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/ingest"
	"atalaya/collector/series"
	"atalaya/collector/store"
	hostid "atalaya/shared/identity"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// ingest declares what it needs and knows no store; this file fits the stores to it.

// sink is the store of facts as ingest sees it.
type sink struct{ *store.Store }

// Greet implements ingest.Sink: it has the machine judged before anything of it is taken.
func (s sink) Greet(g ingest.Greeting) (w ingest.Welcome, err error) {
	var answer identity.Answer
	unknown := false
	err = s.Store.UpdateTogether(func(tx *store.Tx) error {
		known, ok, err := tx.Host(g.Host)
		if err != nil {
			return err
		}
		if unknown = !ok || !known.RemovedAt.IsZero(); unknown {
			return nil // nothing is written: the others need not wait for another turn
		}
		high, sum, err := tx.HighSeq(known.Index, g.Hello.Epoch)
		if err != nil {
			return err
		}
		if answer, err = ledger.Greet(tx, g.Host, greeting(g, known.Name, high)); err != nil || answer.Refuse {
			return err
		}
		w = ingest.Welcome{HighSeq: high, HighSum: sum, Identity: answer.Text}
		if answer.Name != "" {
			g.Hello.Hostname = answer.Name
		}
		_, err = tx.Hello(g.Host, g.Hello, g.At)
		return err
	})
	switch {
	case unknown:
		return w, &ingest.Refusal{Code: wire.CodeUnknownHost, Reason: "this host is not known here: enrol it again with a new token"}
	case errors.Is(err, store.ErrCorrupt):
		return w, ingest.Damaged(err)
	case err == nil && answer.Refuse:
		return w, &ingest.Refusal{Code: wire.CodeCopied, Reason: answer.Text}
	}
	return w, err
}

// greeting is what package identity looks at; high is up to where the batches of the
// host's epoch are known.
func greeting(g ingest.Greeting, name string, high uint64) identity.Greeting {
	out := identity.Greeting{
		At: g.At, Name: name, Hostname: g.Hello.Hostname, Facts: slices.Clone(g.Hello.Facts), Run: g.Hello.Run, Epoch: g.Hello.Epoch, Live: g.Live,
	}
	for i := range out.Facts {
		out.Facts[i].Value = hostid.CleanFact(out.Facts[i].Value)
	}
	if g.From.IsValid() {
		out.Address = g.From.String()
	}
	if g.Hello.NextSeq > 0 && high >= g.Hello.NextSeq {
		out.SetBack = high - g.Hello.NextSeq + 1
	}
	return out
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

func (m samples) Session(host hostid.HostID, hostname string) ingest.MetricSession {
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

func (a authority) Verify(cert *x509.Certificate) (hostid.HostID, error) {
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
