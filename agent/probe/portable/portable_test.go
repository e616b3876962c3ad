package portable

import (
	"context"
	"errors"
	"testing"

	"atalaya/agent/probe"
)

func TestPortableReadersAnswerOnThisMachine(t *testing.T) {
	for _, p := range Probes() {
		res := probe.RunOnce(t.Context(), probe.LiveHost(), p)
		if res.Err != nil && !errors.Is(res.Err, errors.ErrUnsupported) {
			t.Errorf("%v", res.Err)
		}
		if res.Err == nil && len(res.Frame.Samples) == 0 {
			t.Errorf("%s: neither a reading nor an error", p.Info().Name)
		}
	}
}

func TestBelowARootNothingIsAsked(t *testing.T) {
	for _, p := range Probes() {
		res := probe.RunOnce(t.Context(), probe.RootHost(t.TempDir()), p)
		if !errors.Is(res.Err, errors.ErrUnsupported) || len(res.Frame.Samples) != 0 {
			t.Errorf("%s: %v, %d samples", p.Info().Name, res.Err, len(res.Frame.Samples))
		}
	}
}

func TestNotImplementedBecomesUnsupported(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if got := errors.Is(unsupported(err), errors.ErrUnsupported); got != want {
			t.Errorf("unsupported(%v) is %v, want %v", err, got, want)
		}
	}
	f(errors.New("not implemented yet"), true)
	f(errors.New("exec: no such file"), false)
	f(context.DeadlineExceeded, false)
	f(nil, false)
}
