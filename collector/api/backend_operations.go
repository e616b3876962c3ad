package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"atalaya/collector/alert"
	"atalaya/collector/api/v1"
	"atalaya/collector/auth"
	"atalaya/collector/enroll"
	"atalaya/collector/series"
	"atalaya/collector/store"
)

// operationsBackend does what administrators ask of the collector itself.
type operationsBackend struct{ Sources }

// statsTime is how long a status waits for the metrics engine, which may be opening
// its files again.
const statsTime = 2 * time.Second

// Status implements Operations. Only the store must answer: what else is down becomes
// a warning, for that is when somebody asks.
func (b operationsBackend) Status(context.Context) (out v1.Status, err error) {
	out = v1.Status{Version: b.Version, StartedAt: b.StartedAt.UTC(), Sessions: b.Sessions()}
	silent, err := b.countHosts(&out)
	if err != nil {
		return out, err
	}
	if out.CIs, err = b.CMDB.Count(); err != nil {
		return out, classify(err)
	}
	out.Alerts.Firing, out.Alerts.Pending = b.Alerts.Count()
	var down []string
	note := func(what string, err error) {
		if err != nil {
			down = append(down, fmt.Sprintf("%s: %v", what, err))
		}
	}
	stats, err := within(statsTime, b.Series.Stats)
	switch {
	case err == nil:
		out.Series = &stats.Series
	case errors.Is(err, series.ErrLoading):
		down = append(down, err.Error()+"; until then no alert rule is evaluated, and agents keep their samples")
	default:
		note("metrics are not available", err)
	}
	out.StoreBytes, err = b.Store.Size()
	note("size of the state file", err)
	out.SeriesBytes, err = folderSize(b.SeriesDir)
	note("size of the metrics", err)
	delivery, err := b.Alerts.Delivery()
	note("notifications that wait", err)
	for _, trouble := range []string{b.Store.Trouble(), b.Series.Trouble()} {
		if trouble != "" {
			down = append(down, trouble)
		}
	}
	lost, err := b.recentlyLost()
	note("what damage took", err)
	down = append(down, lost...)
	out.Warnings = append(down, warnings(silent, stats.Tally.Lost(), delivery)...)
	return out, nil
}

// lossTime is how long a status tells of what damage took; a scrub tells it later too.
const lossTime = 7 * 24 * time.Hour

// recentlyLost names what damage to the state file took, a sentence for each loss.
func (b operationsBackend) recentlyLost() (out []string, err error) {
	err = b.Store.View(func(tx *store.Tx) error {
		lost, err := tx.Lost()
		for _, l := range lost {
			if b.Now().Sub(l.At) < lossTime && l.Became != "mended" {
				out = append(out, l.String()+" (`atalaya scrub` lists all)")
			}
		}
		return err
	})
	return out[max(0, len(out)-maxLossWarnings):], err
}

// maxLossWarnings is how many losses a status names, the newest.
const maxLossWarnings = 10

// within returns what ask answers, or an error when it takes longer.
func within[T any](limit time.Duration, ask func() (T, error)) (T, error) {
	type reply struct {
		v   T
		err error
	}
	replies := make(chan reply, 1)
	go func() {
		v, err := ask()
		replies <- reply{v, err}
	}()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case r := <-replies:
		return r.v, r.err
	case <-late.C:
		var none T
		return none, fmt.Errorf("no answer within %s", limit)
	}
}

// countHosts fills what the store knows and returns the names of silent hosts.
func (b operationsBackend) countHosts(out *v1.Status) (silent []string, err error) {
	revoked, now := b.Authority.RevokedHosts(), b.Now()
	err = b.Store.View(func(tx *store.Tx) error {
		if out.Changes, err = tx.LastChange(); err != nil {
			return err
		}
		return tx.Hosts(func(h store.Host) error {
			out.Hosts.Total++
			out.LostBatches += h.LossBatches
			if _, ok := revoked[h.ID]; ok {
				out.Hosts.Revoked++
			} else if !h.LastSeen.IsZero() && now.Sub(h.LastSeen) <= b.SilentAfter {
				out.Hosts.Online++
			} else {
				out.Hosts.Silent++
				silent = append(silent, h.Name)
			}
			return nil
		})
	})
	return silent, err
}

// warnings tells what an administrator should look at.
func warnings(silent []string, lostSamples uint64, delivery alert.DeliveryStats) []string {
	var out []string
	if n := len(silent); n > 0 {
		slices.Sort(silent)
		const named = 5
		out = append(out, fmt.Sprintf("silent hosts: %d, e.g. %s", n, strings.Join(silent[:min(n, named)], ", ")))
	}
	if lostSamples > 0 {
		out = append(out, fmt.Sprintf("samples that could not be stored since the start: %d", lostSamples))
	}
	if delivery.LastError != "" {
		out = append(out, fmt.Sprintf("notifications wait: %d; the last attempt: %s", delivery.Waiting, delivery.LastError))
	}
	return out
}

// folderSize adds up the files below a folder. Files that vanish meanwhile count nothing.
func folderSize(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			total += info.Size()
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return total, err
}

// RevokeHost implements Operations.
func (b operationsBackend) RevokeHost(ctx context.Context, host string) (out v1.Revocation, err error) {
	ref, err := b.Inventory.Lookup(host)
	if err != nil {
		return out, classify(err)
	}
	if err := b.Authority.RevokeHost(ctx, ref.ID); err != nil {
		return out, classify(err)
	}
	return v1.Revocation{HostID: ref.ID.String(), Host: ref.Name, RevokedAt: b.Authority.RevokedHosts()[ref.ID].UTC()}, nil
}

// Backup implements Operations.
func (b operationsBackend) Backup(ctx context.Context, w io.Writer) error {
	return b.Store.Backup(untilDone{ctx, w})
}

// untilDone ends a copy when the one who asked for it is gone.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

// Write implements io.Writer.
func (u untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

// Tokens implements Operations.
func (b operationsBackend) Tokens(ctx context.Context) ([]v1.Token, error) {
	enrol, err := b.Authority.ListTokens(ctx)
	if err != nil {
		return nil, err
	}
	programs, err := b.Sources.Tokens.List()
	if err != nil {
		return nil, err
	}
	var out []v1.Token
	for _, t := range enrol {
		out = append(out, enrolToken(t))
	}
	for _, t := range programs {
		out = append(out, b.apiToken(t))
	}
	slices.SortStableFunc(out, func(x, y v1.Token) int {
		return cmp.Or(y.CreatedAt.Compare(x.CreatedAt), cmp.Compare(x.ID, y.ID))
	})
	return out, nil
}

func enrolToken(t enroll.Token) v1.Token {
	out := v1.Token{
		ID: t.ID, Kind: v1.TokenEnrol, Note: t.Note, State: string(t.State),
		CreatedAt: t.Created.UTC(), ExpiresAt: t.Expires.UTC(), LastUsedAt: t.UsedAt.UTC(),
	}
	if t.State == enroll.TokenReady {
		out.State = tokenValid
	}
	if t.Host != nil {
		out.HostID = t.Host.String()
	}
	return out
}

// The states of a token that the two registers name differently.
const (
	tokenValid   = "valid"
	tokenExpired = "expired"
)

func (b operationsBackend) apiToken(t auth.Token) v1.Token {
	state := tokenValid
	if !b.Now().Before(t.ExpiresAt) {
		state = tokenExpired
	}
	return v1.Token{
		ID: t.ID, Kind: v1.TokenAPI, Role: string(t.Role), Note: t.Note, State: state,
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsed,
	}
}

// CreateToken implements Operations.
func (b operationsBackend) CreateToken(ctx context.Context, r v1.TokenRequest) (out v1.NewToken, err error) {
	ttl := time.Duration(r.TTLSeconds) * time.Second
	if r.Kind == v1.TokenEnrol {
		texts, tokens, err := b.Authority.CreateTokens(ctx, enroll.TokenOptions{TTL: ttl, Address: r.Address, Note: r.Note}, max(r.Count, 1))
		for i, t := range tokens {
			doc := v1.NewToken{Token: enrolToken(t), Secret: texts[i]}
			if i == 0 {
				out = doc
			} else {
				out.More = append(out.More, doc)
			}
		}
		return out, classify(err)
	}
	text, t, err := b.Sources.Tokens.Create(auth.Role(r.Role), r.Note, ttl)
	return v1.NewToken{Token: b.apiToken(t), Secret: text}, classify(err)
}

// RevokeToken implements Operations: ids of the two registers never meet, because
// they differ in length.
func (b operationsBackend) RevokeToken(ctx context.Context, id string) error {
	err := b.Sources.Tokens.Revoke(id)
	if !errors.Is(err, auth.ErrNoToken) {
		return classify(err)
	}
	_, err = b.Authority.RevokeToken(ctx, id)
	return classify(err)
}
