package uplink

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Result names how a session ended.
type Result uint8

// The results.
const (
	Stopped        Result = iota // we were asked to stop
	Unreachable                  // nobody answers at the address
	Lost                         // the session broke: network, or the collector was killed
	WrongCollector               // its certificate is not of the CA we trust
	ClockWrong                   // certificates are not valid at our time
	VersionRefused               // no common version
	Refused                      // our certificate was refused, for no reason told
	Revoked                      // our key was revoked
	UnknownHost                  // the collector does not know us
	Replaced                     // another session of this host began
	Shutdown                     // the collector is going down
	Overloaded                   // the collector has too much to do
	StorageFull                  // the collector cannot write
	ProtocolError                // one side broke the rules
	SetBack                      // the spool was set back in time and began a new epoch
	Failed                       // a fault on our side: spool, socket, files
	Copied                       // our key is another machine's, we have a copy
)

var resultNames = [...]string{"stopped", "unreachable", "lost", "wrong collector", "clock wrong", "version refused", "refused", "revoked",
	"unknown host", "replaced", "shutdown", "overloaded", "storage full", "protocol error", "set back", "failed", "copied"}

// String returns the result's name.
func (r Result) String() string {
	if int(r) < len(resultNames) {
		return resultNames[r]
	}
	return fmt.Sprintf("result(%d)", uint8(r))
}

// End is how a session ended, as an error with one line for people.
type End struct {
	Result Result
	After  time.Duration // the collector asks us to stay away so long
	Err    error
}

func (e *End) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *End) Unwrap() error { return e.Err }

func endf(r Result, format string, args ...any) *End {
	return &End{Result: r, Err: fmt.Errorf(format, args...)}
}

// enrolAnew is what to do when the collector will not have this host any more.
const enrolAnew = "stop the agent and run `atalaya-agent enroll --replace --token-file FILE` with a new token"

// otherCollector is what to do when the collector is not the one we know.
const otherCollector = "check the address; if the collector was set up anew, " + enrolAnew

// newToken is what to do when a token will not do.
const newToken = "make a new one with `atalaya token create`"

// said tells what is shown when the collector gives a reason: nothing is to be said twice.
type said uint8

const (
	both   said = iota // our text, then the reason
	ours               // our text, which says it all and names what to do here
	theirs             // the reason, which knows more; our text when there is none
)

// codes translates what a collector tells us when it ends a session.
var codes = map[wire.Code]struct {
	result Result
	said   said
	text   string
}{
	wire.CodeNone:         {Lost, both, "the collector closed the session"},
	wire.CodeVersion:      {VersionRefused, both, "this agent and the collector speak no common version of the protocol"},
	wire.CodeProtocol:     {ProtocolError, both, "the collector does not understand this agent"},
	wire.CodeTooLarge:     {ProtocolError, both, "the collector refused a message as too large"},
	wire.CodeRevoked:      {Revoked, ours, "this host's key was revoked: " + enrolAnew},
	wire.CodeUnknownHost:  {UnknownHost, ours, "the collector does not know this host: " + enrolAnew},
	wire.CodeReplaced:     {Replaced, ours, "another agent has begun a session as this host (was this machine or its state folder copied?)"},
	wire.CodeShutdown:     {Shutdown, ours, "the collector is going down"},
	wire.CodeOverload:     {Overloaded, both, "the collector has too much to do"},
	wire.CodeTokenUnknown: {Refused, theirs, "the collector knows no such token: " + newToken},
	wire.CodeTokenUsed:    {Refused, theirs, "the token was used by another host: " + newToken},
	wire.CodeTokenExpired: {Refused, theirs, "the token has expired: " + newToken},
	wire.CodeTokenRevoked: {Refused, theirs, "the token was revoked: " + newToken},
	wire.CodeCopied:       {Copied, theirs, "this host's key belongs to another machine, of which this one is a copy: " + enrolAnew},
	wire.CodeNotEnrolled:  {UnknownHost, ours, "the collector does not know this host's key: " + enrolAnew},
	wire.CodeInternal:     {Overloaded, theirs, "the collector had a fault: its log says more"},
	wire.CodeStorage:      {StorageFull, theirs, "the collector cannot write its store: its log says more"},
}

func endOf(code wire.Code, reason string, after time.Duration) *End {
	c, ok := codes[code]
	if !ok {
		c.result, c.text = ProtocolError, fmt.Sprintf("the collector ended the session with code %d", code)
	}
	text := c.text
	switch {
	case reason == "" || c.said == ours:
	case c.said == theirs:
		text = reason
	default:
		text += ": " + reason
	}
	return &End{Result: c.result, After: after, Err: errors.New(text)}
}

// TLS alerts, RFC 8446 section 6, as QUIC carries them (RFC 9001 section 4.8).
const (
	alertRevoked            = 44
	alertExpired            = 45
	alertUnknownCertificate = 46
	alertUnknownCA          = 48
	alertNoProtocol         = 120
	cryptoErrorBase         = 0x100
)

// peer is the collector that an error is about.
type peer struct {
	address     string
	established bool              // the handshake was completed
	own         *x509.Certificate // shown to the collector; nil on enrolment
	now         time.Time
}

// explain turns an error of the connection into an End.
func (p peer) explain(err error) *End {
	var (
		end       *End
		app       *quic.ApplicationError
		transport *quic.TransportError
		reset     *quic.StatelessResetError
		versions  *quic.VersionNegotiationError
		dns       *net.DNSError
		stream    *quic.StreamError
	)
	switch {
	case errors.As(err, &end):
		return end
	case errors.As(err, &app) && app.Remote:
		return endOf(wire.Code(app.ErrorCode), app.ErrorMessage, 0)
	case errors.As(err, &stream) && stream.Remote:
		return endOf(wire.Code(stream.ErrorCode), "", 0)
	case errors.As(err, &reset):
		return endf(Lost, "the collector at %s was restarted", p.address)
	case errors.As(err, &versions):
		return endf(VersionRefused, "%s speaks another version of QUIC: is it a collector?", p.address)
	case errors.As(err, &dns):
		return endf(Unreachable, "the collector's name cannot be resolved: %w (check the address, or the DNS of this host)", err)
	case errors.As(err, &transport):
		return p.explainTransport(transport)
	case !p.established:
		return endf(Unreachable, "no answer from the collector at %s over UDP: is `atalaya serve` running there, and do firewalls let this UDP port pass? (%v)", p.address, err)
	}
	return endf(Lost, "the connection to the collector at %s broke: %w", p.address, err)
}

func (p peer) explainTransport(err *quic.TransportError) *End {
	if !err.ErrorCode.IsCryptoError() {
		if err.ErrorCode == quic.ConnectionRefused {
			return endf(Overloaded, "the collector at %s takes no more connections now", p.address)
		}
		return endf(Lost, "the connection to the collector at %s broke: %w", p.address, err)
	}
	alert := uint64(err.ErrorCode) - cryptoErrorBase
	if !err.Remote {
		var invalid x509.CertificateInvalidError
		result := WrongCollector
		if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
			result = ClockWrong
		}
		return &End{Result: result, Err: fmt.Errorf("collector at %s: %w", p.address, p.explainLocal(err))}
	}
	switch alert {
	case alertExpired:
		return p.explainExpired()
	case alertRevoked:
		return endOf(wire.CodeRevoked, "", 0)
	case alertUnknownCA, alertUnknownCertificate:
		return endf(WrongCollector, "the collector at %s did not issue this host's certificate: it is another one, or was set up anew (%s)", p.address, otherCollector)
	case alertNoProtocol:
		return endf(VersionRefused, "the collector at %s does not speak %s (update the older of the two)", p.address, wire.ALPN)
	}
	return endf(Refused, "the collector at %s refused the handshake: %w", p.address, err)
}

// explainLocal says why we do not take the collector's certificate, without the code
// that QUIC puts before it.
func (p peer) explainLocal(err *quic.TransportError) error {
	cause := error(err)
	if inner := err.Unwrap(); inner[len(inner)-1] != nil {
		cause = inner[len(inner)-1]
	}
	var unknown x509.UnknownAuthorityError
	if p.own == nil || !errors.As(cause, &unknown) {
		return identity.ExplainTLS(cause, p.now)
	}
	unknown = x509.UnknownAuthorityError{Cert: unknown.Cert} // without its guesses at the reason
	return fmt.Errorf("%w (%s)", identity.ExplainTLS(unknown, p.now), otherCollector)
}

// explainExpired says what a collector's clock must show for it to find our
// certificate, which is valid here, not valid now.
func (p peer) explainExpired() *End {
	here := p.now.UTC().Format(time.RFC3339)
	if p.own == nil {
		return endf(ClockWrong, "the collector at %s finds this host's certificate not valid now: compare the clocks (it is %s here)", p.address, here)
	}
	return endf(ClockWrong, "the collector at %s finds this host's certificate not valid now: its clock or this one is wrong, the collector's is at least %s ahead or %s behind (it is %s here)",
		p.address, p.own.NotAfter.Sub(p.now).Round(time.Second), p.now.Sub(p.own.NotBefore).Round(time.Second), here)
}

// ended tells whether an error only says that ctx has.
func ended(ctx context.Context, err error) bool { return err != nil && ctx.Err() != nil }
