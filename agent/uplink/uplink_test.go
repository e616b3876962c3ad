package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

func TestEveryResultHasAName(t *testing.T) {
	seen := map[string]bool{}
	for r := Stopped; r <= Copied; r++ {
		if name := r.String(); seen[name] || strings.HasPrefix(name, "result(") {
			t.Errorf("result %d has the name %q", uint8(r), name)
		}
		seen[r.String()] = true
	}
	if got := (Copied + 1).String(); got != "result(17)" {
		t.Errorf("unknown result is %q", got)
	}
}

func TestEveryCodeHasAResult(t *testing.T) {
	for code := wire.CodeNone; code <= wire.CodeCopied; code++ {
		end := endOf(code, "reason", time.Minute)
		if strings.Contains(end.Error(), fmt.Sprint("code ", uint64(code))) || strings.Contains(end.Error(), "reason") != (codes[code].said != ours) || end.After != time.Minute {
			t.Errorf("code %d: %+v", code, end)
		}
	}
	if end := endOf(99, "", 0); end.Result != ProtocolError || end.Error() != "the collector ended the session with code 99" {
		t.Errorf("unknown code: %q, %v", end.Result, end)
	}
}

// TestNothingIsSaidTwice gives the reasons as the collector words them.
func TestNothingIsSaidTwice(t *testing.T) {
	const anew = "stop the agent and run `atalaya-agent enroll --replace --token-file FILE` with a new token"
	for _, c := range []struct {
		code         wire.Code
		reason, want string
	}{
		{wire.CodeShutdown, "the collector is going down", "the collector is going down"},
		{wire.CodeReplaced, "a newer session of this host has begun", "another agent has begun a session as this host (was this machine or its state folder copied?)"},
		{wire.CodeTokenUsed, "the token was used by host 01 at noon: each host needs its own, made with `atalaya token create`", "the token was used by host 01 at noon: each host needs its own, made with `atalaya token create`"},
		{wire.CodeTokenUsed, "", "the token was used by another host: make a new one with `atalaya token create`"},
		{wire.CodeStorage, "the collector cannot write (is its disk full?)", "the collector cannot write (is its disk full?)"},
		{wire.CodeRevoked, "host 01 is revoked: to let it back in, delete host.key on it", "this host's key was revoked: " + anew},
		{wire.CodeUnknownHost, "host 01 is not known here: enrol it with a new token", "the collector does not know this host: " + anew},
		{wire.CodeNotEnrolled, "this key is not known here", "the collector does not know this host's key: " + anew},
		{wire.CodeVersion, "update the agent", "this agent and the collector speak no common version of the protocol: update the agent"},
	} {
		if got := endOf(c.code, c.reason, 0).Error(); got != c.want {
			t.Errorf("code %d: %q, want %q", c.code, got, c.want)
		}
	}
}

// TestOtherCollectorIsNamedWithoutCodes dials one that another CA has certified.
func TestOtherCollectorIsNamedWithoutCodes(t *testing.T) {
	s := newScript(t)
	_, creds := newAuthority(t).enrolled()
	for name, c := range map[string]struct {
		conf *tls.Config
		want string
	}{
		"session": {creds.TLS(wire.ALPN, time.Now), "this is another collector than the one this host enrolled with, or somebody is in between: " +
			"x509: certificate signed by unknown authority (" + otherCollector + ")"},
		"enrolment": {identity.EnrollTLS([32]byte{}, wire.ALPNEnroll, time.Now),
			"the collector's CA is another than the token says: the token is for another collector, or somebody is in between"},
	} {
		address := s.ln.Addr().String()
		_, err := Network{}.dial(t.Context(), address, c.conf, 0, time.Now)
		if want := "collector at " + address + ": " + c.want; err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
}

func TestEveryErrorHasAResult(t *testing.T) {
	alert := func(n quic.TransportErrorCode, remote bool) error {
		return &quic.TransportError{ErrorCode: cryptoErrorBase + n, Remote: remote, ErrorMessage: "m"}
	}
	wrap := func(err error) error { return fmt.Errorf("read: %w", err) }
	for _, c := range []struct {
		err    error
		before bool // the handshake's end
		result Result
		text   string
	}{
		{err: wrap(endf(SetBack, "x")), result: SetBack, text: "x"},
		{err: wrap(&quic.ApplicationError{Remote: true, ErrorCode: 6, ErrorMessage: "newer"}), result: Replaced, text: "another agent has begun a session as this host"},
		{err: &quic.ApplicationError{ErrorCode: 6}, result: Lost, text: "broke"},
		{err: &quic.StreamError{Remote: true, ErrorCode: 3}, result: ProtocolError, text: "too large"},
		{err: &quic.StatelessResetError{}, result: Lost, text: "restarted"},
		{err: &quic.VersionNegotiationError{}, before: true, result: VersionRefused, text: "is it a collector?"},
		{err: &net.DNSError{Err: "no such host"}, before: true, result: Unreachable, text: "cannot be resolved"},
		{err: &quic.HandshakeTimeoutError{}, before: true, result: Unreachable, text: "is `atalaya serve` running there"},
		{err: context.DeadlineExceeded, before: true, result: Unreachable, text: "do firewalls let this UDP port pass"},
		{err: &quic.IdleTimeoutError{}, result: Lost, text: "c:1 broke"},
		{err: io.ErrUnexpectedEOF, result: Lost, text: "c:1 broke"},
		{err: &quic.TransportError{ErrorCode: quic.ConnectionRefused, Remote: true}, before: true, result: Overloaded, text: "takes no more connections"},
		{err: &quic.TransportError{ErrorCode: quic.ProtocolViolation, Remote: true}, result: Lost, text: "broke"},
		{err: alert(alertExpired, true), result: ClockWrong, text: "it is 2026-01-02T03:04:05Z here"},
		{err: alert(alertRevoked, true), result: Revoked, text: "with a new token"},
		{err: alert(alertUnknownCA, true), result: WrongCollector, text: "did not issue this host's certificate"},
		{err: alert(alertUnknownCertificate, true), result: WrongCollector, text: "if the collector was set up anew, stop the agent"},
		{err: alert(alertNoProtocol, true), before: true, result: VersionRefused, text: "does not speak atalaya/1"},
		{err: alert(42, true), result: Refused, text: "refused the handshake"},
		{err: alert(40, false), before: true, result: WrongCollector, text: "c:1"},
	} {
		p := peer{address: "c:1", established: !c.before, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		end := p.explain(c.err)
		if end.Result != c.result || !strings.Contains(end.Error(), c.text) || strings.Contains(end.Error(), "\n") {
			t.Errorf("%#v: %q, %q; want %q, one line with %q", c.err, end.Result, end, c.result, c.text)
		}
	}
}

func TestAddressThatCannotBeUsedIsNamed(t *testing.T) {
	for _, c := range []struct {
		address string
		result  Result
		text    string
	}{
		{"collector", Failed, `address of the collector "collector": address collector: missing port in address (want host:port)`},
		{"collector:quic", Failed, `port "quic" is no number up to 65535`},
		{"collector:70000", Failed, `port "70000" is no number up to 65535`},
		{":7443", Failed, "no host is named"},
		{"::1:7443", Failed, "too many colons"},
	} {
		_, err := Network{}.dial(t.Context(), c.address, identity.EnrollTLS([32]byte{}, wire.ALPN, time.Now), 0, time.Now)
		wantEnd(t, err, c.result, c.text)
	}
	empty := Network{Resolve: func(context.Context, string) ([]net.Addr, error) { return nil, nil }}
	_, err := empty.dial(t.Context(), "c.test:1", identity.EnrollTLS([32]byte{}, wire.ALPN, time.Now), 0, time.Now)
	wantEnd(t, err, Unreachable, "c.test:1 has no address")
	addrs, err := Network{}.resolve(t.Context(), "[::1]:7443")
	if err != nil || len(addrs) != 1 || addrs[0].String() != "[::1]:7443" {
		t.Errorf("resolve: %v, %v", addrs, err)
	}
}

func wantEnd(t *testing.T, err error, result Result, text string) {
	t.Helper()
	var end *End
	if !errors.As(err, &end) || end.Result != result || !strings.Contains(end.Error(), text) {
		t.Errorf("%v, want result %q and %q", err, result, text)
	}
}

func TestWaitAfterASession(t *testing.T) {
	for _, c := range []struct {
		end     End
		backoff time.Duration
		lo, hi  time.Duration // hi excluded
	}{
		{End{Result: SetBack}, minBackoff, 0, minBackoff},
		{End{Result: Lost}, minBackoff, 0, minBackoff},
		{End{Result: Lost}, 8 * time.Second, 0, 8 * time.Second},
		{End{Result: Overloaded}, maxBackoff, 0, busyBackoff},
		{End{Result: Revoked}, minBackoff, 0, maxBackoff},
		{End{Result: VersionRefused}, minBackoff, 0, maxBackoff},
		{End{Result: Shutdown, After: 7 * time.Second}, maxBackoff, 7 * time.Second, 8 * time.Second},
		{End{Result: Overloaded, After: 24 * time.Hour}, minBackoff, 10 * time.Minute, 10*time.Minute + time.Second},
	} {
		lowest, highest := time.Duration(1<<62), time.Duration(0)
		for range 2000 {
			d := waitAfter(&c.end, c.backoff)
			lowest, highest = min(lowest, d), max(highest, d)
		}
		if lowest < c.lo || highest >= c.hi {
			t.Errorf("%q after %v, backoff %v: from %v to %v, want within [%v, %v)", c.end.Result, c.end.After, c.backoff, lowest, highest, c.lo, c.hi)
		}
		if span := c.hi - c.lo; span > 1 && (lowest > c.lo+span/20 || highest < c.hi-span/20) {
			t.Errorf("%q: from %v to %v does not fill [%v, %v)", c.end.Result, lowest, highest, c.lo, c.hi)
		}
	}
}

// TestOnlyTheFirstSetBackIsAnsweredAtOnce has a collector that sets every epoch back, after
// it acknowledged something of it.
func TestOnlyTheFirstSetBackIsAnsweredAtOnce(t *testing.T) {
	p := pause{backoff: minBackoff}
	setBack, lost := &End{Result: SetBack}, &End{Result: Lost}
	if d := p.after(setBack, true); d != 0 {
		t.Errorf("the first pause is %v", d)
	}
	const n = 200
	sum, bound := time.Duration(0), minBackoff
	for i := range n {
		d := p.after(setBack, true)
		if d >= bound {
			t.Errorf("pause %d is %v, bound %v", i, d, bound)
		}
		sum, bound = sum+d, min(2*bound, maxBackoff)
	}
	if mean := sum / n; mean < maxBackoff/2-6*time.Second { // as in TestBackoffDoublesToAMinute
		t.Errorf("mean pause %v, want some %v", mean, maxBackoff/2)
	}
	if d := p.after(lost, true); d >= minBackoff {
		t.Errorf("pause after a good session is %v", d)
	}
	if d := p.after(setBack, false); d != 0 {
		t.Errorf("pause of a spool that was set back later is %v", d)
	}
}

// TestBackoffDoublesToAMinute runs against a name that nobody knows.
func TestBackoffDoublesToAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, _ := newAuthority(t).enrolled()
		tries := make(chan time.Time, 1000)
		u := run(t, Config{Address: "collector.test:1", Dir: dir, Spool: newMemory(), Network: Network{Resolve: func(ctx context.Context, name string) ([]net.Addr, error) {
			tries <- time.Now()
			return noAddress(ctx, name)
		}}})
		last, sum := <-tries, time.Duration(0)
		bound := minBackoff
		const n = 200
		for i := range n {
			at := <-tries
			gap := at.Sub(last)
			if gap >= bound {
				t.Errorf("pause %d is %v, bound %v", i, gap, bound)
			}
			sum, last, bound = sum+gap, at, min(2*bound, maxBackoff)
		}
		// The mean of full jitter is half the bound; 4 standard deviations of 200 are 5 s.
		if mean := sum / n; mean < maxBackoff/2-6*time.Second || mean > maxBackoff/2+6*time.Second {
			t.Errorf("mean pause %v, want some %v", mean, maxBackoff/2)
		}
		synctest.Wait()
		st := u.Status()
		if st.State != Waiting || st.Result != Unreachable.String() || !strings.Contains(st.LastError, "cannot be resolved") || st.Address != "collector.test:1" ||
			st.NextTry.Before(time.Now()) || st.NextTry.After(time.Now().Add(maxBackoff)) || st.Sessions != 0 || !st.LastAck.IsZero() {
			t.Errorf("status %+v", st)
		}
		if st.Since.After(time.Now().Add(-n / 2 * time.Second)) {
			t.Errorf("waiting since %v, want since the start", st.Since)
		}
	})
}

func TestRenewalIsDueAtTwoThirdsAndSpread(t *testing.T) {
	_, creds := newAuthority(t).enrolled()
	due := identity.RenewAt(creds.Certificate)
	lowest, highest := time.Duration(1<<62), time.Duration(0)
	for range 500 {
		u := New(Config{Spool: newMemory()})
		d := u.renewAt(creds).Sub(due)
		if again := u.renewAt(creds).Sub(due); again != d {
			t.Fatalf("one host is due at %v and %v", d, again)
		}
		lowest, highest = min(lowest, d), max(highest, d)
	}
	if lowest < 0 || lowest > hostLife/200 || highest > hostLife/20 || highest < hostLife/20*9/10 {
		t.Errorf("due from %v to %v after two thirds, want all of 0 to %v", lowest, highest, hostLife/20)
	}
}

func TestCertificateServesUntilItsEndWhenItCannotBeRenewed(t *testing.T) {
	dir, creds := newAuthority(t).enrolled()
	tries := 0
	var now time.Time
	u := New(Config{Address: "c.test:1", Dir: dir, Spool: newMemory(), Now: func() time.Time { return now },
		Network: Network{Resolve: func(ctx context.Context, name string) ([]net.Addr, error) { tries++; return noAddress(ctx, name) }}})
	for _, c := range []struct {
		at     time.Time
		tries  int
		result Result // of the error, when there is one
	}{
		{u.renewAt(creds).Add(-time.Second), 0, Stopped},
		{u.renewAt(creds), 1, Stopped},
		{creds.Certificate.NotAfter, 2, Stopped},
		{creds.Certificate.NotAfter.Add(time.Second), 3, Unreachable},
	} {
		now = c.at
		got, err := u.renew(t.Context(), creds)
		if tries != c.tries || c.result == Stopped && (err != nil || got != creds) {
			t.Errorf("at %v: %v, %d tries; want the same certificate and %d", c.at, err, tries, c.tries)
		}
		if c.result != Stopped {
			wantEnd(t, err, c.result, "cannot be resolved")
		}
	}
}

func TestRenewalThatFailedIsTriedAgainAfterAnHour(t *testing.T) {
	_, creds := newAuthority(t).enrolled()
	now := creds.Certificate.NotAfter.Add(-time.Hour)
	u := New(Config{Spool: newMemory(), Now: func() time.Time { return now }})
	s := &session{u: u, renewing: true}
	s.renewed(creds)
	if want := now.Add(renewalRetry); !s.renewAt.Equal(want) || s.renewing {
		t.Errorf("next renewal at %v, want %v", s.renewAt, want)
	}
	now = creds.Certificate.NotBefore
	s.renewed(creds)
	if want := u.renewAt(creds); !s.renewAt.Equal(want) || !u.Status().CertUntil.Equal(creds.Certificate.NotAfter) {
		t.Errorf("next renewal at %v, want %v; status %+v", s.renewAt, want, u.Status())
	}
}
