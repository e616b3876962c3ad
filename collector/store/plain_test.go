package store

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"atalaya/shared/facts"
)

// plainRecord has all that a record is decoded of without encoding/json.
var plainRecord = hostRecord{
	Index: 7, Name: "web1.example", OS: "linux", Arch: "amd64", AgentVersion: "1.2.3-4", MachineID: "c0ffee",
	EnrolledAt: facts.TimeOf(t0), ClockOffset: -3 * time.Second, Interval: time.Minute, LossBatches: 12, FirstAt: facts.TimeOf(t0) - 1234,
}

func TestAPlainRecordNeedsNoJSON(t *testing.T) {
	v, err := json.Marshal(plainRecord)
	if err != nil {
		t.Fatal(err)
	}
	var got hostRecord
	if !got.plain(v) || !reflect.DeepEqual(got, plainRecord) {
		t.Errorf("%s is %+v", v, got)
	}
	named := plainRecord
	named.Name, named.Tags = "m\u00fcller \"1\"", []string{"web"}
	if v, err = json.Marshal(named); err != nil {
		t.Fatal(err)
	}
	if got, err = decodeHost(nil, v); err != nil || !reflect.DeepEqual(got, named) {
		t.Errorf("%s is %+v, %v", v, got, err)
	}
}

// FuzzPlainRecord: what is taken for plain is what encoding/json makes of it.
func FuzzPlainRecord(f *testing.F) {
	v, err := json.Marshal(plainRecord)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(v)
	for _, s := range []string{`{}`, `{"index":01}`, `{"interval":-0}`, `{"interval":-}`, `{"index":}`, `{"index":-1}`, `{"index":4294967296}`,
		`{"index":"1"}`, `{"name":1}`, `{"name":"a`, `{"name":"a"`, `{"name":"a",}`, `{"name":"a"} `, `{"index":1,"index":2}`, `{"name":null}`, `{"os":"\u0041"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		var got, want hostRecord
		if !got.plain(v) {
			return
		}
		if err := json.Unmarshal(v, &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, want %+v, %v", v, got, want, err)
		}
	})
}

func BenchmarkDecodeHost(b *testing.B) {
	v, err := json.Marshal(plainRecord)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if _, err := decodeHost(nil, v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("json", func(b *testing.B) {
		for b.Loop() {
			var rec hostRecord
			if err := json.Unmarshal(v, &rec); err != nil {
				b.Fatal(err)
			}
		}
	})
}
