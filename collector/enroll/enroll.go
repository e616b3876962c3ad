package enroll

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// keyRecord is what is known of an enrolled public key, stored under its hash.
type keyRecord struct {
	Host       identity.HostID `json:"host"`         // that it stands for: Own, or the host of which that is part, see Keys
	Own        identity.HostID `json:"own,omitzero"` // that it enrolled as; none: from before this was kept
	EnrolledAt facts.Time      `json:"enrolled_at"`
	IssuedAt   facts.Time      `json:"issued_at"` // of the newest certificate
	RevokedAt  facts.Time      `json:"revoked_at,omitzero"`
	RevokedWhy string          `json:"revoked_why,omitempty"` // whyRemoved, or nothing
	// Was are hosts that the key stood for before merges: certificates that name them are good until they are renewed.
	Was []identity.HostID `json:"was,omitempty"`
}

// refusal is a reason to say no that the agent is told.
type refusal struct {
	code   wire.Code
	reason string // names the next step
}

// Error implements error.
func (r *refusal) Error() string { return r.reason }

func refuse(code wire.Code, format string, args ...any) error {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// enrolment is one request on its way to a certificate.
type enrolment struct {
	a        *Authority
	csr      *x509.CertificateRequest
	key      [32]byte // hash of the public key
	token    []byte   // hash of the secret; nil to renew
	hostname string
	facts    []identity.Fact
	remote   string
	now      time.Time
}

// newcomer is a request with an unknown key as the ledger sees it.
func (e *enrolment) newcomer(id identity.HostID) ledger.Newcomer {
	return ledger.Newcomer{ID: id, Key: e.key, Hostname: e.hostname, Address: e.remote, Facts: e.facts, At: e.now, Connected: e.a.connected}
}

// Enroll answers a request for a certificate that came from the address remote:
//
//   - with a token that is ready: the same host when the key is known; when the facts of
//     the hardware are those of a host that is not connected, that host with a further
//     key; else a new host. The token is used;
//   - with a token that this key used before: a certificate again, because the reply
//     may have been lost;
//   - without a token: a certificate again when the key is known, whether the one
//     before has ended or not.
//
// In each case the request must be signed by its key, and the key not be revoked.
func (a *Authority) Enroll(ctx context.Context, req wire.EnrollRequest, remote string) wire.EnrollReply {
	cert, id, err := a.enroll(ctx, req, remote)
	var no *refusal
	switch {
	case err == nil:
		a.c.Log.Info("certificate issued", "host", id, "renewal", len(req.Token) == 0, "remote", remote, "until", cert.NotAfter)
		return wire.EnrollReply{HostID: id.String(), Certificate: cert.Raw, CAs: [][]byte{a.cert.Raw}}
	case errors.As(err, &no):
		a.c.Log.Warn("enrolment refused", "remote", remote, "hostname", req.Hostname, "reason", no.reason)
		return wire.EnrollReply{Code: no.code, Reason: no.reason}
	case errors.Is(err, store.ErrFull):
		a.c.Log.Error("enrolment not recorded", "remote", remote, "err", err)
		return wire.EnrollReply{Code: wire.CodeStorage, Reason: "the collector's disk is full: try again when there is space"}
	}
	a.c.Log.Error("enrolment not recorded", "remote", remote, "err", err)
	return wire.EnrollReply{Code: wire.CodeInternal, Reason: "the collector could not do it: its log says why; try again"}
}

func (a *Authority) enroll(ctx context.Context, req wire.EnrollRequest, remote string) (cert *x509.Certificate, id identity.HostID, err error) {
	if req.MinVersion > wire.Version || req.MaxVersion < wire.MinVersion {
		return nil, id, refuse(wire.CodeVersion, "the agent speaks versions %d to %d, this collector %d to %d: update the older one",
			req.MinVersion, req.MaxVersion, wire.MinVersion, wire.Version)
	}
	e := enrolment{a: a, hostname: req.Hostname, facts: cleanFacts(req.Facts), remote: remote, now: a.c.Now()}
	if e.csr, e.key, err = checkRequest(req.CSR); err != nil {
		return nil, id, err
	}
	if len(req.Token) > 0 {
		hash := sha256.Sum256(req.Token)
		e.token = hash[:]
	}
	// Most requests that will be refused are refused here, without holding up writers.
	err = a.c.Store.View(func(tx *store.Tx) error {
		_, err := e.decide(tx)
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return nil, id, err
	}
	err = a.c.Store.UpdateTogether(func(tx *store.Tx) error {
		d, err := e.decide(tx)
		if err != nil {
			return err
		}
		if err := e.record(tx, d); err != nil {
			return err
		}
		id = d.key.Host
		cert, err = a.issueHost(id, e.csr.PublicKey)
		return err
	})
	if err != nil {
		return nil, id, err
	}
	if e.token != nil {
		a.forgetRevoked() // a host may have a good key again
	}
	return cert, id, nil
}

// checkRequest verifies that whoever asks has the key.
func checkRequest(der []byte) (*x509.CertificateRequest, [32]byte, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, [32]byte{}, refuse(wire.CodeProtocol, "the certificate request cannot be read: update the agent")
	}
	if key, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		return nil, [32]byte{}, refuse(wire.CodeProtocol, "the key is not ECDSA on P-256: delete %s and enrol again", identity.HostKeyFile)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, [32]byte{}, refuse(wire.CodeProtocol, "the certificate request is not signed by its key")
	}
	hash, err := identity.KeyHash(csr.PublicKey)
	return csr, hash, err
}

// decision is what a request changes in the state.
type decision struct {
	key     keyRecord
	token   *tokenRecord  // to be marked as used; nil: no token, or this key used it before
	newHost bool          // the store does not know the host yet
	joined  *ledger.Known // the host that the machine was before it was installed anew
	revive  bool          // the host was removed
}

// decide says whether the key gets a certificate, and for which host. It only reads.
func (e *enrolment) decide(tx *store.Tx) (d decision, err error) {
	known, err := getJSON(tx, tableKeys, e.key[:], &d.key)
	switch {
	case err != nil:
		return d, err
	case e.a.revoked.has(e.key) || d.key.RevokedAt != 0:
		return d, refuse(wire.CodeRevoked, "this key is revoked%s: to let the host back in, delete %s on it and enrol it with a new token",
			d.key.because(), identity.HostKeyFile)
	case !known && e.token == nil:
		return d, refuse(wire.CodeNotEnrolled,
			"this key is not enrolled here: make a token with `atalaya token create` and run `atalaya-agent enroll --token-file FILE`")
	case !known:
		if err := e.place(tx, &d); err != nil {
			return d, err
		}
	default:
		h, there, err := tx.Host(d.key.Host)
		if err != nil {
			return d, err
		}
		d.newHost, d.revive = !there, there && !h.RemovedAt.IsZero()
		if (d.newHost || d.revive) && e.token == nil {
			return d, refuse(wire.CodeUnknownHost, "host %s was removed here: to let it back in, enrol it with a new token", d.key.Host)
		}
	}
	d.key.IssuedAt = facts.TimeOf(e.now)
	d.token, err = e.checkToken(tx)
	return d, err
}

// place finds the host that a new key is for.
func (e *enrolment) place(tx *store.Tx, d *decision) error {
	own := identity.NewHostID()
	d.key, d.newHost = keyRecord{Host: own, Own: own, EnrolledAt: facts.TimeOf(e.now)}, true
	known, found, err := ledger.Find(tx, e.newcomer(own))
	if err != nil || !found {
		return err
	}
	d.joined, d.newHost = &known, false
	d.key.Host = known.Host.ID
	return nil
}

// checkToken returns the token that the request consumes, if it does.
func (e *enrolment) checkToken(tx *store.Tx) (*tokenRecord, error) {
	if e.token == nil {
		return nil, nil
	}
	var rec tokenRecord
	found, err := getJSON(tx, tableTokens, e.token, &rec)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, refuse(wire.CodeTokenUnknown, "the collector does not know this token: make one with `atalaya token create`")
	}
	switch rec.state(e.now) {
	case TokenUsed:
		if bytes.Equal(rec.Key, e.key[:]) {
			return nil, nil
		}
		return nil, refuse(wire.CodeTokenUsed, "the token was used by host %s at %s: each host needs its own, made with `atalaya token create`",
			rec.Host, rec.UsedAt.Time().Format(time.RFC3339))
	case TokenRevoked:
		return nil, refuse(wire.CodeTokenRevoked, "the token was revoked: make one with `atalaya token create`")
	case TokenExpired:
		return nil, refuse(wire.CodeTokenExpired, "the token ended at %s: make one with `atalaya token create`",
			rec.Expires.Time().Format(time.RFC3339))
	}
	return &rec, nil
}

// record writes what was decided. The host's name is what the request says until
// the host's first Hello says it again.
func (e *enrolment) record(tx *store.Tx, d decision) error {
	if d.token != nil {
		d.token.UsedAt, d.token.UsedBy, d.token.Key, d.token.Host = facts.TimeOf(e.now), e.remote, e.key[:], &d.key.Host
		if err := putJSON(tx, tableTokens, e.token, d.token); err != nil {
			return err
		}
	}
	switch {
	case d.joined != nil:
		if err := ledger.Join(tx, e.newcomer(d.key.Own), *d.joined); err != nil {
			return err
		}
		e.a.c.Log.Info("a known machine has enrolled anew", "host", d.key.Host, "as", d.joined.Verdict.Kind, "reason", d.joined.Verdict.Text)
	case d.newHost:
		if err := tx.PutHost(store.Host{ID: d.key.Host, Name: e.hostname, EnrolledAt: e.now}); err != nil {
			return err
		}
		if err := ledger.Enrolled(tx, e.newcomer(d.key.Host)); err != nil {
			return err
		}
	case d.revive:
		if err := tx.ReviveHost(d.key.Host, e.now); err != nil {
			return err
		}
	}
	return putJSON(tx, tableKeys, e.key[:], d.key)
}

// cleanFacts brings what an agent says of its machine into the form in which it is
// compared: nothing that it sends is taken for clean.
func cleanFacts(in []identity.Fact) []identity.Fact {
	var out []identity.Fact
	for _, f := range in {
		f.Value = identity.CleanFact(f.Value)
		out = append(out, f)
	}
	return out
}
