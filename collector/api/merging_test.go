package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/collector/enroll"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// machine is a host with a key, and what the model says of it.
type machine struct {
	id      identity.HostID
	name    string
	cert    *x509.Certificate
	removed bool     // by an administrator: a merge does not change that
	whole   *machine // of which it is part
	parts   []*machine
	own     string // picture of it while nothing is part of it
}

// chain is the host and those of which it is part, up to the one that it is now.
func (m *machine) chain() (out []*machine) {
	for ; m != nil; m = m.whole {
		out = append(out, m)
	}
	return out
}

func (m *machine) now() *machine { return m.chain()[len(m.chain())-1] }

// trusted: unless one of them was removed.
func (m *machine) trusted() bool {
	return !slices.ContainsFunc(m.chain(), func(m *machine) bool { return m.removed })
}

func (m *machine) active() bool { return !m.removed && m.whole == nil }

// park is a collector with machines, its model and what was done, for errors.
type park struct {
	*whole
	machines []*machine
	done     []string
	version  int
}

// enrolled has a machine enrol as its agent would, and report.
func (p *park) enrolled(name string) *machine {
	p.t.Helper()
	n := len(p.machines)
	texts, _, err := p.parts.Authority.CreateTokens(context.Background(), enroll.TokenOptions{}, 1)
	if err != nil {
		p.t.Fatal(err)
	}
	token := must[identity.Token](p.t)(identity.ParseToken(texts[0]))
	key := must[*ecdsa.PrivateKey](p.t)(identity.NewKey())
	r := p.parts.Authority.Enroll(context.Background(), wire.EnrollRequest{
		MinVersion: wire.MinVersion, MaxVersion: wire.Version, Hostname: name, Token: token.Secret[:],
		CSR:   must[[]byte](p.t)(identity.NewRequest(key, name)),
		Facts: []identity.Fact{{Kind: identity.FactSystemUUID, Value: fmt.Sprintf("4c4c4544-0051-3610-8052-b4c04f5644%02x", n+1)}},
	}, "192.0.2.1")
	m := &machine{name: name, cert: must[*x509.Certificate](p.t)(x509.ParseCertificate(r.Certificate))}
	m.id = must[identity.HostID](p.t)(identity.HostIDFromCert(m.cert))
	p.machines = append(p.machines, m)
	p.told(m)
	return m
}

// told has a host report under a name that it never had, with a package that nobody had.
func (p *park) told(m *machine) {
	p.t.Helper()
	p.version++
	if _, err := p.fleet.Hello(m.id, wire.Hello{Hostname: fmt.Sprintf("%s-%d", m.name, p.version), Epoch: 1}, p.fleet.Now); err != nil {
		p.t.Fatal(err)
	}
	p.report(m.id, facts.Packages, dpkg("tool", fmt.Sprint(p.version)))
	if len(m.parts) == 0 {
		m.own = p.picture(m)
	}
}

// picture is what a host is that a merge may change.
func (p *park) picture(m *machine) string {
	p.t.Helper()
	var b strings.Builder
	err := p.parts.Store.View(func(tx *store.Tx) error {
		h, _, err1 := tx.Host(m.id)
		r, err2 := ledger.Record(tx, m.id)
		fmt.Fprintf(&b, "%s %q, last seen %s, %v", h.Name, h.Tags, h.LastSeen.UTC(), r.Facts)
		err3 := tx.Rows(m.id, facts.Packages, func(key string, data []byte) error {
			fmt.Fprintf(&b, " %q %x", key, data)
			return nil
		})
		return errors.Join(err1, err2, err3)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return b.String()
}

// step does one thing that an administrator or an agent may do, and says what it did and
// whether the model allows it.
func (p *park) step(r *rand.Rand) (err error, allowed bool) {
	ctx := context.Background()
	x, y := p.machines[r.IntN(len(p.machines))], p.machines[r.IntN(len(p.machines))]
	p.fleet.Now = p.fleet.Now.Add(time.Hour)
	switch what := r.IntN(20); {
	case what < 6:
		p.done = append(p.done, "merge "+x.name+" "+y.name)
		_, err = p.MergeHosts(ctx, x.id.String(), v1.MergeRequest{Other: y.id.String(), Apply: true})
		if allowed = x != y && x.active() && y.whole == nil; allowed {
			y.whole, x.parts = x, append(x.parts, y)
		}
	case what < 12:
		p.done = append(p.done, "unmerge "+x.name)
		_, err = p.UnmergeHost(ctx, x.id.String(), v1.UnmergeRequest{Apply: true})
		if allowed = x.whole == nil && len(x.parts) > 0; allowed {
			last := len(x.parts) - 1
			x.parts[last].whole, x.parts = nil, x.parts[:last]
		}
	case what < 15:
		p.done = append(p.done, "remove "+x.name)
		_, err = p.RemoveHost(ctx, x.id.String(), "sold")
		if allowed = x.active(); allowed {
			x.removed = true
		}
	case what < 18:
		p.done = append(p.done, "revive "+x.name)
		var back v1.Revival
		back, err = p.ReviveHost(ctx, x.id.String())
		if allowed = x.whole == nil && x.removed; allowed {
			if x.removed = false; back.Keys == 0 || back.Revoked {
				p.t.Errorf("%v gives %+v", p.done, back)
			}
		}
	default:
		p.done = append(p.done, "report "+x.name)
		if allowed = true; x.active() {
			p.told(x)
		}
	}
	return err, allowed
}

// check compares all machines with the model.
func (p *park) check() {
	p.t.Helper()
	for _, m := range p.machines {
		var h store.Host
		err := p.parts.Store.View(func(tx *store.Tx) (err error) {
			h, _, err = tx.Host(m.id)
			return err
		})
		if err != nil || h.RemovedAt.IsZero() != m.active() {
			p.t.Errorf("%s: removed at %s, %v; the model says active: %v", m.name, h.RemovedAt, err, m.active())
		}
		switch id, code, why := p.parts.Authority.Verify(m.cert); {
		case m.trusted() && (code != wire.CodeNone || id != m.now().id):
			p.t.Errorf("the key of %s stands for %s, want %s: %s", m.name, id, m.now().name, why)
		case !m.trusted() && code != wire.CodeRevoked:
			p.t.Errorf("the key of %s is trusted, it was removed or revoked: %d", m.name, code)
		}
		if got := p.picture(m); m.active() && len(m.parts) == 0 && got != m.own {
			p.t.Errorf("%s was\n%s\nand is\n%s", m.name, m.own, got)
		}
	}
	if p.t.Failed() {
		p.t.Fatalf("after:\n%s", strings.Join(p.done, "\n"))
	}
}

// apart takes all merges back and revives all hosts.
func (p *park) apart() {
	p.t.Helper()
	ctx := context.Background()
	for range p.machines {
		for _, m := range p.machines {
			for m.whole == nil && len(m.parts) > 0 {
				p.done = append(p.done, "unmerge "+m.name)
				must[v1.MergeResult](p.t)(p.UnmergeHost(ctx, m.id.String(), v1.UnmergeRequest{Apply: true}))
				last := len(m.parts) - 1
				m.parts[last].whole, m.parts = nil, m.parts[:last]
				p.check()
			}
		}
	}
	for _, m := range p.machines {
		if m.removed {
			p.done = append(p.done, "revive "+m.name)
			must[v1.Revival](p.t)(p.ReviveHost(ctx, m.id.String()))
			m.removed = false
		}
	}
	p.check()
}

// TestKeysAndFactsFollowAnyOrderOfMerges does what administrators may do in random orders:
// each key stands for one host, removed hosts stay removed and have no trusted key, active
// ones have theirs, and after all is undone each is exactly what it was.
func TestKeysAndFactsFollowAnyOrderOfMerges(t *testing.T) {
	p := &park{whole: newWhole(t)}
	for n := range 5 {
		p.enrolled(string(rune('a' + n)))
	}
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 0))
		p.done = []string{fmt.Sprint("seed ", seed)}
		for range 40 {
			err, allowed := p.step(r)
			if (err == nil) != allowed {
				t.Fatalf("the model says allowed: %v, the collector: %v; after:\n%s", allowed, err, strings.Join(p.done, "\n"))
			}
			p.check()
		}
		p.apart()
	}
}

// TestMergesAreTakenBackInOrder: an undo of a merge under another one is refused with the
// next step, and so is a host in two others.
func TestMergesAreTakenBackInOrder(t *testing.T) {
	p, ctx := &park{whole: newWhole(t)}, context.Background()
	a, b, c, d := p.enrolled("a"), p.enrolled("b"), p.enrolled("c"), p.enrolled("d")
	p.fleet.Now = p.fleet.Now.Add(time.Hour)
	apply := v1.MergeRequest{Other: a.id.String(), Apply: true}
	must[v1.MergeResult](t)(p.MergeHosts(ctx, b.id.String(), apply))
	must[v1.MergeResult](t)(p.MergeHosts(ctx, c.id.String(), v1.MergeRequest{Other: b.id.String(), Apply: true}))
	next := "run `atalaya host unmerge " + c.id.String() + "` first"
	for _, really := range []bool{false, true} {
		if _, err := p.UnmergeHost(ctx, b.id.String(), v1.UnmergeRequest{Apply: really}); !v1.IsCode(err, v1.CodeInvalid) || !strings.Contains(err.Error(), next) {
			t.Errorf("undo of the inner merge: %v", err)
		}
	}
	if _, err := p.MergeHosts(ctx, d.id.String(), apply); !v1.IsCode(err, v1.CodeInvalid) || !strings.Contains(err.Error(), "is part of") {
		t.Errorf("a part of another host is merged: %v", err)
	}
	if id, code, why := p.parts.Authority.Verify(a.cert); id != c.id || code != wire.CodeNone {
		t.Errorf("the key of a stands for %s, %d: %s", id, code, why)
	}
}

// TestHostsThatWereAliveAMomentAgoAreTwo: that their sessions were ended by a merge does not
// make them one.
func TestHostsThatWereAliveAMomentAgoAreTwo(t *testing.T) {
	p, ctx := &park{whole: newWhole(t)}, context.Background()
	a, b, c := p.enrolled("a"), p.enrolled("b"), p.enrolled("c")
	p.fleet.Now = p.fleet.Now.Add(time.Hour)
	p.fleet.Seen(b.id, p.fleet.Now)
	must[v1.MergeResult](t)(p.MergeHosts(ctx, b.id.String(), v1.MergeRequest{Other: a.id.String(), Apply: true}))
	p.fleet.Seen(c.id, p.fleet.Now)
	merge := func() error {
		_, err := p.MergeHosts(ctx, c.id.String(), v1.MergeRequest{Other: b.id.String()})
		return err
	}
	if err := merge(); !v1.IsCode(err, v1.CodeInvalid) || !strings.Contains(err.Error(), "so they are two machines") {
		t.Errorf("both were seen now: %v", err)
	}
	p.fleet.Now = p.fleet.Now.Add(p.parts.SilentAfter)
	p.fleet.Seen(c.id, p.fleet.Now)
	if err := merge(); err != nil {
		t.Errorf("one was seen last %s ago: %v", p.parts.SilentAfter, err)
	}
	anew := p.enrolled("b-anew") // after the last sign of life of c: it may be what became of it
	if _, err := p.MergeHosts(ctx, c.id.String(), v1.MergeRequest{Other: anew.id.String()}); err != nil {
		t.Errorf("a machine that has just enrolled anew: %v", err)
	}
}
