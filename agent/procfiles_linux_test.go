package agent

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"atalaya/agent/probe"
)

func procParser(t testing.TB, kind string) probe.Parser {
	t.Helper()
	parsers := Parsers()
	i := slices.IndexFunc(parsers, func(p probe.Parser) bool { return p.Kind == kind })
	if i < 0 {
		t.Fatalf("no kind %q", kind)
	}
	return parsers[i]
}

func TestEveryKindOfParseIsOneFormat(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Parsers() {
		if seen[p.Kind] {
			t.Errorf("two parsers of kind %q", p.Kind)
		}
		seen[p.Kind] = true
	}
}

func TestParseOfProcShowsTheMetrics(t *testing.T) {
	tests := []struct{ kind, text, want string }{
		{"loadavg", "0.46 0.64 0.57 1/94 28073\n", `{"name":"node_load15","type":"gauge","value":0.57}`},
		{"meminfo", "MemTotal:  1024 kB\n", `{"name":"node_memory_MemTotal_bytes","type":"gauge","value":1048576}`},
		{"stat", "cpu0 100 0 0 0 0 0 0 0 0 0\nctxt 7\n", `{"name":"node_context_switches_total","type":"counter","value":7}`},
		{"stat", "cpu0 150 0 0 0 0 0 0 0 0 0\n", `"labels":{"cpu":"0","mode":"user"},"value":1.5}`},
	}
	for _, tt := range tests {
		got, err := procParser(t, tt.kind).Read(probe.Input{Name: tt.kind, Data: []byte(tt.text)})
		if err != nil {
			t.Errorf("%s: %v", tt.kind, err)
		}
		out, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(out), tt.want) {
			t.Errorf("%s: got %s, want %s in it", tt.kind, out, tt.want)
		}
	}
}

func TestParseOfProcSaysWhatItCannotRead(t *testing.T) {
	for _, f := range procFiles {
		for _, text := range []string{"", "\x00\x00\x00\x00", "gibberish\n"} {
			got, err := procParser(t, f.kind).Read(probe.Input{Name: "x", Data: []byte(text)})
			if err == nil {
				t.Errorf("%s of %q: no error, got %v", f.kind, text, got)
			}
		}
	}
}
