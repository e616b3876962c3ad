package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Enrolment asks the collector for a certificate: with a token for a host's first,
// without for a renewal by the key and CAs that are in the state folder.
type Enrolment struct {
	Dir      string          // state folder, which takes key, certificate and CAs
	Token    *identity.Token // nil to renew
	Address  string          // of the collector; default the token's
	Hostname string
	Facts    []identity.Fact // by which the machine may be known again
	Network  Network
	Now      func() time.Time // Default time.Now
}

// enrolTimeout is for the whole of it, once connected.
const enrolTimeout = 15 * time.Second

// Enroll gets a certificate and writes it, with the CAs to trust, to the state folder.
// It may be tried again with the same token: the key, which is made on the first try,
// stays the same, and the collector knows it again. A refusal is an *End.
func Enroll(ctx context.Context, e Enrolment) (*identity.Credentials, error) {
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.Address == "" && e.Token != nil {
		e.Address = e.Token.Address
	}
	key, err := identity.LoadOrMakeKey(filepath.Join(e.Dir, identity.HostKeyFile))
	if err != nil {
		return nil, &End{Result: Failed, Err: err}
	}
	conf, err := e.tls()
	if err != nil {
		return nil, &End{Result: Failed, Err: err}
	}
	request := wire.EnrollRequest{MinVersion: wire.MinVersion, MaxVersion: wire.Version, Hostname: e.Hostname, Facts: e.Facts}
	if e.Token != nil {
		request.Token = e.Token.Secret[:]
	}
	if request.CSR, err = identity.NewRequest(key, e.Hostname); err != nil {
		return nil, &End{Result: Failed, Err: err}
	}
	reply, err := e.exchange(ctx, conf, request)
	if err != nil {
		return nil, err
	}
	if reply.Code != wire.CodeNone {
		return nil, endOf(reply.Code, reply.Reason, 0)
	}
	c, err := identity.NewCredentials(key, reply.Certificate, reply.CAs)
	if err != nil {
		return nil, &End{Result: ProtocolError, Err: err}
	}
	if err := e.checkPin(c); err != nil {
		return nil, err
	}
	if err := identity.CheckTime(c.Certificate, "new", e.Now()); err != nil {
		return nil, &End{Result: ClockWrong, Err: err}
	}
	if err := c.Save(e.Dir); err != nil {
		return nil, &End{Result: Failed, Err: err}
	}
	return c, nil
}

func (e *Enrolment) tls() (*tls.Config, error) {
	if e.Token != nil {
		return identity.EnrollTLS(e.Token.CAPin, wire.ALPNEnroll, e.Now), nil
	}
	c, err := identity.LoadCredentials(e.Dir)
	if err != nil {
		return nil, err
	}
	return c.TLS(wire.ALPNEnroll, e.Now), nil
}

// checkPin makes sure that the CAs to trust from now on include the one of the token.
func (e *Enrolment) checkPin(c *identity.Credentials) error {
	if e.Token == nil {
		return nil
	}
	for _, ca := range c.CAs {
		if hash, err := identity.KeyHash(ca.PublicKey); err == nil && hash == e.Token.CAPin {
			return nil
		}
	}
	return endf(WrongCollector, "the collector gave a CA that is not the token's")
}

// exchange sends the request and waits for the reply.
func (e *Enrolment) exchange(ctx context.Context, conf *tls.Config, request wire.EnrollRequest) (reply wire.EnrollReply, err error) {
	conn, err := e.Network.dial(ctx, e.Address, conf, 0, e.Now)
	if err != nil {
		return reply, err
	}
	defer conn.close(wire.CodeNone)
	stop := context.AfterFunc(ctx, func() { conn.close(wire.CodeNone) })
	defer stop()
	reply, err = enrolOn(conn, request)
	switch {
	case err == nil:
		return reply, nil
	case ended(ctx, err):
		return reply, ctx.Err()
	}
	return reply, peer{address: e.Address, established: true, now: e.Now()}.explain(err)
}

func enrolOn(conn *connection, request wire.EnrollRequest) (reply wire.EnrollReply, err error) {
	stream, err := conn.OpenStream()
	if err != nil {
		return reply, err
	}
	if err := stream.SetDeadline(time.Now().Add(enrolTimeout)); err != nil {
		return reply, err
	}
	if _, err := stream.Write(wire.AppendMessage(nil, wire.TypeEnrollRequest, wire.AppendEnrollRequest(nil, request))); err != nil {
		return reply, err
	}
	t, payload, err := wire.NewReader(stream, wire.ControlLimits()).Next()
	if err != nil {
		return reply, err
	}
	if t != wire.TypeEnrollReply {
		return reply, endf(ProtocolError, "the collector answered an enrolment with %s", t)
	}
	return wire.DecodeEnrollReply(payload)
}

// renew gets a new certificate when two thirds of the life of the present one are
// over. When that fails the present one is returned for as long as it is of use.
func (u *Uplink) renew(ctx context.Context, c *identity.Credentials) (*identity.Credentials, error) {
	now := u.cfg.Now()
	if now.Before(u.renewAt(c)) {
		return c, nil
	}
	fresh, err := Enroll(ctx, Enrolment{Dir: u.cfg.Dir, Address: u.cfg.Address, Hostname: u.cfg.Hello.Hostname, Network: u.cfg.Network, Now: u.cfg.Now})
	switch {
	case err == nil:
		u.cfg.Log.Info("certificate renewed", "until", fresh.Certificate.NotAfter)
		return fresh, nil
	case ended(ctx, err):
		return nil, ctx.Err()
	case !now.After(c.Certificate.NotAfter) && !slices.Contains([]Result{Revoked, UnknownHost}, resultOf(err)):
		u.cfg.Log.Warn("certificate not renewed, the present one goes on", "until", c.Certificate.NotAfter, "err", err)
		return c, nil
	}
	return nil, err
}

func resultOf(err error) Result {
	var end *End
	if errors.As(err, &end) {
		return end.Result
	}
	return Failed
}

// renewAt is two thirds of the certificate's life, and up to a twentieth later:
// hosts that were enrolled together do not come together.
func (u *Uplink) renewAt(c *identity.Credentials) time.Time {
	life := c.Certificate.NotAfter.Sub(c.Certificate.NotBefore)
	return identity.RenewAt(c.Certificate).Add(time.Duration(u.jitter * float64(life) / 20))
}

// notEnrolled is what Run returns when the state folder has no certificate.
func notEnrolled(err error) error {
	return &End{Result: UnknownHost, Err: fmt.Errorf("this host is not enrolled: run `atalaya-agent enroll --token-file FILE` with a token from `atalaya token create` (%w)", err)}
}
