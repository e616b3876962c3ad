package ingest

import (
	"errors"
	"strings"
	"testing"

	"atalaya/shared/wire"
)

func TestNoCommonVersionNamesTheSideToUpdate(t *testing.T) {
	ours := versions{2, 4}
	for _, c := range []struct {
		agent versions
		want  uint
		text  string
	}{
		{versions{1, 1}, 0, "update the agent (the agent speaks versions 1 to 1, the collector 2 to 4)"},
		{versions{5, 7}, 0, "update the collector (the agent speaks versions 5 to 7, the collector 2 to 4)"},
		{versions{1, 3}, 3, ""},
		{versions{4, 9}, 4, ""},
		{versions{3, 3}, 3, ""},
		{versions{3, 2}, 0, "update the agent (the agent speaks versions 3 to 2, the collector 2 to 4)"}, // nonsense is refused
	} {
		got, err := ours.common(c.agent)
		var refusal *Refusal
		if errors.As(err, &refusal); got != c.want || c.text != "" && (refusal == nil || refusal.Code != wire.CodeVersion || refusal.Reason != c.text) {
			t.Errorf("common(%v) = %d, %v; want %d, %q", c.agent, got, err, c.want, c.text)
		}
	}
}

func TestAgentOfAnotherVersionIsToldWhatToUpdate(t *testing.T) {
	r := newRig(t, nil)
	p := r.peer()
	stream := p.open(control(), hello(wire.Version+1, wire.Version+3))
	typ, payload, err := wire.NewReader(stream, wire.ControlLimits()).Next()
	if err != nil || typ != wire.TypeGoodbye {
		t.Fatalf("%v, %v; want Goodbye", typ, err)
	}
	bye, err := wire.DecodeGoodbye(payload)
	if err != nil || bye.Code != wire.CodeVersion || bye.AfterMillis < 1000 || !strings.HasPrefix(bye.Reason, "update the collector") {
		t.Errorf("%+v, %v; want code %d and what to update", bye, err, wire.CodeVersion)
	}
	r.works()
}
