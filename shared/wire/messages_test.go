package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

var update = flag.Bool("update", false, "rewrite the golden bytes of the newest version")

// goldenDir holds one file per message, for ever: the bytes that released versions speak.
const goldenDir = "../../testdata/wire"

func goldenFiles(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(goldenDir, "v*", "*.bin"))
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string][]byte)
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(p)] = b
	}
	return files
}

// codec is one message with its two functions, so that tests treat all alike.
type codec struct {
	name   string // below the folder of golden bytes: the version and the message
	value  any
	encode func() ([]byte, error)
	decode func([]byte) (any, error)
}

func control[M any](name string, m M, encode func([]byte, M) []byte, decode func([]byte) (M, error)) codec {
	return codec{"v1/" + name, m,
		func() ([]byte, error) { return encode(nil, m), nil },
		func(b []byte) (any, error) { return decode(b) }}
}

func batchCodec(name string, b *Batch, series []metric.Series) codec {
	return codec{"v1/" + name, b,
		func() ([]byte, error) {
			enc := NewMetricEncoder()
			enc.SetSeries(series)
			return AppendBatch(nil, b, enc)
		},
		func(data []byte) (any, error) { return DecodeBatch(data, NewMetricDecoder(nil)) }}
}

// secondCodec is a batch in version 2 after the same batch: all that can repeat does.
func secondCodec(name string, b *Batch, series []metric.Series) codec {
	first := func() (*MetricEncoder, []byte, error) {
		enc := NewMetricEncoder()
		enc.SetVersion(2)
		enc.SetSeries(series)
		data, err := AppendBatch(nil, b, enc)
		return enc, data, err
	}
	return codec{"v2/" + name, b,
		func() ([]byte, error) {
			enc, _, err := first()
			if err != nil {
				return nil, err
			}
			return AppendBatch(nil, b, enc)
		},
		func(data []byte) (any, error) {
			_, before, err := first()
			if err != nil {
				return nil, err
			}
			dec := NewMetricDecoder(nil)
			if _, err := DecodeBatch(before, dec); err != nil {
				return nil, err
			}
			return DecodeBatch(data, dec)
		}}
}

func storedCodec(name string, b *Batch) codec {
	return codec{"v1/" + name, b,
		func() ([]byte, error) { return AppendStored(nil, b) },
		func(data []byte) (any, error) { return DecodeStored(data) }}
}

func codecs(t testing.TB) []codec {
	metrics, series := goldenMetrics()
	inventory := goldenInventory(t)
	return []codec{
		control("hello", Hello{MinVersion: 1, MaxVersion: 1, AgentVersion: "1.0.0", Hostname: "web1", OS: "linux", Arch: "amd64",
			MachineID: "5f2b", Epoch: 1 << 63, NextSeq: 42, At: goldenTime, IntervalMillis: 10_000}, AppendHello, DecodeHello),
		control("welcome", Welcome{Version: 1, HighSeq: 41, HeartbeatMillis: 15_000, At: goldenTime}, AppendWelcome, DecodeWelcome),
		control("hello-identity", Hello{MinVersion: 1, MaxVersion: 1, Hostname: "web1", Epoch: 1, NextSeq: 1, Run: 1<<64 - 1, Facts: goldenFacts()}, AppendHello, DecodeHello),
		control("welcome-identity", Welcome{Version: 1, At: goldenTime, Identity: "same machine: system uuid agrees", HighSeq: 41, HighSum: 0xdeadbeef}, AppendWelcome, DecodeWelcome),
		control("enroll-request-identity", EnrollRequest{MinVersion: 1, MaxVersion: 1, CSR: []byte{0x30, 1, 0}, Hostname: "web1", Facts: goldenFacts()},
			AppendEnrollRequest, DecodeEnrollRequest),
		control("ack", Ack{Epoch: 1 << 63, Seqs: []uint64{42, 43, 100_000}}, AppendAck, DecodeAck),
		control("heartbeat", Heartbeat{Count: 3, At: goldenTime}, AppendHeartbeat, DecodeHeartbeat),
		control("resync", Resync{Sections: []facts.ID{facts.Packages, facts.Users}}, AppendResync, DecodeResync),
		control("goodbye", Goodbye{Code: CodeShutdown, Reason: "going down", AfterMillis: 2000}, AppendGoodbye, DecodeGoodbye),
		control("enroll-request", EnrollRequest{MinVersion: 1, MaxVersion: 1, Token: []byte("twenty bytes of token"), CSR: []byte{0x30, 1, 0}, Hostname: "web1"},
			AppendEnrollRequest, DecodeEnrollRequest),
		control("enroll-reply", EnrollReply{Code: CodeNone, HostID: "0011223344556677", Certificate: []byte{0x30}, CAs: [][]byte{{0x30, 1}}},
			AppendEnrollReply, DecodeEnrollReply),
		control("enroll-refusal", EnrollReply{Code: CodeTokenUsed, Reason: "the token was used"}, AppendEnrollReply, DecodeEnrollReply),
		batchCodec("batch-metrics", metrics, series),
		batchCodec("batch-inventory", inventory, nil),
		secondCodec("batch-metrics-2", metrics, series),
		secondCodec("batch-inventory-2", inventory, nil),
		storedCodec("stored-metrics", metrics),
		storedCodec("stored-inventory", inventory),
	}
}

func goldenFacts() []identity.Fact {
	return []identity.Fact{{Kind: identity.FactSystemUUID, Value: "4c4c4544-0051-3610-8052-b4c04f564433"}, {Kind: identity.FactMAC, Value: "3c:ec:ef:12:34:56"}}
}

const goldenTime = 1_795_334_400_123 // 2026-11-22T08:00:00.123Z

func goldenMetrics() (*Batch, []metric.Series) {
	series := []metric.Series{
		{Name: "node_load1", Decimals: 2},
		{Name: "node_cpu_seconds_total", Kind: metric.Counter, Decimals: 2, Labels: []metric.Label{{Name: "cpu", Value: "0"}, {Name: "mode", Value: "idle"}}},
		{Name: "node_memory_MemFree_bytes"},
		{Name: "odd", Decimals: 9},
	}
	b := &Batch{Epoch: 1 << 63, Seq: 7, Kind: KindMetrics, At: goldenTime + 30_000, Frames: []metric.Frame{
		{At: goldenTime, Samples: []metric.Sample{{Series: 0, Value: 0.25}, {Series: 1, Value: 12345.67}, {Series: 2, Value: 1 << 30}}},
		{At: goldenTime + 10_000, Samples: []metric.Sample{{Series: 0, Value: 0.25}, {Series: 1, Value: 12345.68}, {Series: 2, Value: 1<<30 + 512}, {Series: 3, Value: math.Pi}}},
		{At: goldenTime + 20_000, Samples: []metric.Sample{{Series: 1, Value: 0}, {Series: 3, Value: math.Copysign(0, -1)}}},
		{At: goldenTime + 30_000, Samples: []metric.Sample{{Series: 0, Value: math.Inf(1)}, {Series: 1, Value: 1e300}, {Series: 3, Value: -1.5}}},
	}}
	b.Checksum = b.Sum()
	return b, series
}

func goldenInventory(t testing.TB) *Batch {
	t.Helper()
	row, err := EncodeRow(&facts.PackageRow{Name: "libssl3", Version: "3.0.11-1~deb12u2", Arch: "amd64", Source: "dpkg", SizeBytes: 6_021_120})
	if err != nil {
		t.Fatal(err)
	}
	b := &Batch{Epoch: 1 << 63, Seq: 8, Kind: KindInventory, At: goldenTime,
		Updates: []SectionUpdate{
			{Section: facts.OS, Status: facts.StatusOK, At: goldenTime, Digest: 1<<63 + 5},
			{Section: facts.Packages, Status: facts.StatusPartial, Reason: "one file is cut", At: goldenTime, Digest: 17, Put: [][]byte{row}, Removed: []string{"dpkg\x00zsh\x00amd64"}},
			{Section: facts.Users, Status: facts.StatusDenied, Reason: "no right", At: goldenTime, Full: true},
		},
		Losses: []Loss{{FromSeq: 2, ToSeq: 5, FromAt: goldenTime - 9, ToAt: goldenTime - 1, Kind: KindMetrics, Batches: 3, Reason: "spool full"}},
	}
	b.Checksum = b.Sum()
	return b
}

func TestGoldenBytes(t *testing.T) {
	for _, c := range codecs(t) {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(goldenDir, c.name+".bin")
			got, err := c.encode()
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("encoding changed\ngot  %x\nwant %x", got, want)
			}
			decoded, err := c.decode(want)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.value, decoded); diff != "" {
				t.Errorf("decoded (-want +got):\n%s", diff)
			}
		})
	}
}

// TestGoldenRows pins the encoding of every section: digests and stores rest on it.
func TestGoldenRows(t *testing.T) {
	var got []byte
	for _, s := range facts.Sections() {
		data, err := EncodeRow(s.New())
		if err != nil {
			t.Fatal(err)
		}
		row, err := DecodeRow(s.ID, data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s.New(), row); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.Name, diff)
		}
	}
	row := &facts.PatchStateRow{Verdict: facts.VerdictPending, IndexTime: goldenTime, IndexMaxAgeSeconds: 172_800, RebootReasons: []string{"kernel"}, Pending: 3, Security: 1}
	for _, r := range []facts.Row{row, &facts.UserRow{Name: "naïve", UID: 1000, GID: -1}, &facts.GroupRow{Name: "g", Members: []string{"a", "b"}}} {
		data, err := EncodeRow(r)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, data...)
	}
	path := filepath.Join(goldenDir, "v1", "rows.bin")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("encoding changed\ngot  %x\nwant %x", got, want)
	}
}

func TestUnknownFieldsAreSkipped(t *testing.T) {
	// {1: "dpkg", 99: [1, {2: 3}]} as a row with a column of a newer agent.
	newer := append([]byte{0xa2, 0x01, 0x64}, "dpkg"...)
	newer = append(newer, 0x18, 99, 0x82, 0x01, 0xa1, 0x02, 0x03)
	row, err := DecodeRow(facts.Packages, newer)
	if err != nil || row.(*facts.PackageRow).Name != "dpkg" {
		t.Errorf("row %+v, %v", row, err)
	}
	if _, err := DecodeRow(999, newer); !errors.Is(err, ErrMalformed) {
		t.Errorf("unknown section: %v", err)
	}
	hello, err := DecodeHello([]byte{0xa2, 0x01, 0x01, 0x18, 99, 0xf5})
	if err != nil || hello.MinVersion != 1 {
		t.Errorf("hello %+v, %v", hello, err)
	}
}

func TestDecodersRefuseHostileCBOR(t *testing.T) {
	deep := bytes.Repeat([]byte{0x81}, 100)
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrMalformed},
		{"trailing bytes", []byte{0xa0, 0xa0}, ErrMalformed},
		{"key twice", []byte{0xa2, 0x01, 0x01, 0x01, 0x02}, ErrMalformed},
		{"indefinite length", []byte{0xbf, 0xff}, ErrMalformed},
		{"tag", []byte{0xa1, 0x01, 0xc1, 0x01}, ErrMalformed},
		{"depth", append([]byte{0xa1, 0x18, 99}, append(deep, 0)...), ErrMalformed},
		{"string longer than the message", []byte{0xa1, 0x03, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
		{"array longer than the message", []byte{0xa1, 0x02, 0x9a, 0xff, 0xff, 0xff, 0xff}, ErrMalformed},
		{"not UTF-8", []byte{0xa1, 0x04, 0x61, 0xff}, ErrMalformed},
		{"wrong kind", []byte{0xa1, 0x04, 0x01}, ErrMalformed},
		{"host name too long", append([]byte{0xa1, 0x04, 0x79, 0x01, 0x01}, strings.Repeat("x", 257)...), ErrTooLarge},
		{"control message too long", make([]byte, MaxControl+1), ErrTooLarge},
	} {
		if _, err := DecodeHello(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
	seqs := binary.BigEndian.AppendUint16([]byte{0xa1, 0x02, 0x99}, MaxSeqs+1)
	if _, err := DecodeAck(append(seqs, make([]byte, MaxSeqs+1)...)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many sequence numbers: %v", err)
	}
	manyUpdates := binary.BigEndian.AppendUint16([]byte{0xa2, 0x03, 0x02, 0x07, 0x99}, MaxUpdates+1)
	manyUpdates = append(manyUpdates, bytes.Repeat([]byte{0xa0}, MaxUpdates+1)...)
	if _, err := DecodeBatch(manyUpdates, NewMetricDecoder(nil)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many updates: %v", err)
	}
	manyItems := append([]byte{0xa1, 0x07, 0x81, 0xa1, 0x07, 0x9a, 0, 8, 0, 0}, bytes.Repeat([]byte{0x40}, 1<<19)...)
	if _, err := DecodeBatch(manyItems, NewMetricDecoder(nil)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many items: %v", err)
	}
}

func TestEncodersMakeTextFitToTravel(t *testing.T) {
	long := strings.Repeat("ä", MaxName) + "\xff"
	hello, err := DecodeHello(AppendHello(nil, Hello{Hostname: long, OS: "a\xffb"}))
	if err != nil || hello.OS != "a\ufffdb" || hello.Hostname != strings.Repeat("ä", MaxName/2) {
		t.Errorf("%+v, %v", hello, err)
	}
	b := &Batch{Kind: KindInventory, Updates: []SectionUpdate{{Section: facts.OS, Reason: "open \xff: " + strings.Repeat("x", 2*MaxText), Removed: []string{"\xfe"}}},
		Losses: []Loss{{Reason: "\xff"}}}
	b.Checksum = b.Sum()
	for name, c := range map[string]codec{"sent": batchCodec("", b, nil), "stored": storedCodec("", b)} {
		data, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.decode(data)
		if err != nil || !got.(*Batch).Verify() {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestRowsThatCannotTravelAreRefused(t *testing.T) {
	for name, row := range map[string]facts.Row{
		"not_UTF-8": &facts.PackageRow{Name: "a", Vendor: "\xff"},
		"large":     &facts.ServiceRow{Name: "a", Description: strings.Repeat("x", MaxRow)},
		"long_key":  &facts.UserRow{Name: strings.Repeat("x", MaxKey+1)},
	} {
		if _, err := Items([]facts.Row{row}); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBatchesThatCannotTravelAreRefused(t *testing.T) {
	enc := NewMetricEncoder()
	enc.SetSeries([]metric.Series{{Name: "a"}, {Name: ""}, {Name: "b", Labels: []metric.Label{{Name: "z"}, {Name: "y"}}}})
	sample := func(series ...uint32) *Batch {
		f := metric.Frame{}
		for _, s := range series {
			f.Samples = append(f.Samples, metric.Sample{Series: s})
		}
		return &Batch{Kind: KindMetrics, Frames: []metric.Frame{f}}
	}
	for name, b := range map[string]*Batch{
		"unknown_kind": {Kind: 9}, "not_in_the_dictionary": sample(0, 3), "out_of_order": sample(1, 0), "twice": sample(0, 0),
		"beyond_the_limit": sample(MaxSeries), "no_name": sample(1), "labels_out_of_order": sample(2),
	} {
		if _, err := AppendBatch(nil, b, enc); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(enc.entries) != 0 {
		t.Error("a refused batch changed the encoder")
	}
	metrics, series := goldenMetrics()
	if _, err := AppendBatch(nil, metrics, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("metrics without encoder: %v", err)
	}
	enc.SetSeries(series)
	data, err := AppendBatch(nil, metrics, enc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeBatch(data, nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("metrics without decoder: %v", err)
	}
	large := &Batch{Kind: KindInventory, Updates: []SectionUpdate{{Put: make([][]byte, 300)}}}
	for i := range large.Updates[0].Put {
		large.Updates[0].Put[i] = make([]byte, MaxRow)
	}
	if _, err := AppendStored(nil, large); !errors.Is(err, ErrTooLarge) {
		t.Errorf("large: %v", err)
	}
}

func TestHeartbeatHasAtLeast64Bytes(t *testing.T) {
	for _, h := range []Heartbeat{{}, {Count: 1, At: goldenTime}, {Count: math.MaxUint64, At: math.MinInt64}} {
		if n := len(AppendHeartbeat(nil, h)); n < 64 || n > 96 {
			t.Errorf("%+v: %d bytes", h, n)
		}
	}
}

func TestSumCoversEverything(t *testing.T) {
	metrics, _ := goldenMetrics()
	changes := map[string]func(*Batch){
		"kind":   func(b *Batch) { b.Kind++ },
		"time":   func(b *Batch) { b.At++ },
		"frame":  func(b *Batch) { b.Frames[1].At++ },
		"series": func(b *Batch) { b.Frames[0].Samples[0].Series = 9 },
		"value":  func(b *Batch) { b.Frames[0].Samples[0].Value = math.Nextafter(b.Frames[0].Samples[0].Value, 1) },
		"sample": func(b *Batch) { b.Frames[0].Samples = b.Frames[0].Samples[1:] },
		"frames": func(b *Batch) { b.Frames = b.Frames[1:] },
	}
	for name, change := range changes {
		b := *metrics
		b.Frames = append([]metric.Frame(nil), metrics.Frames...)
		b.Frames[0].Samples = append([]metric.Sample(nil), metrics.Frames[0].Samples...)
		if change(&b); b.Verify() {
			t.Errorf("%s is not covered", name)
		}
	}
	updates := map[string]func(*SectionUpdate){
		"section": func(u *SectionUpdate) { u.Section++ }, "status": func(u *SectionUpdate) { u.Status++ }, "reason": func(u *SectionUpdate) { u.Reason += "x" },
		"at": func(u *SectionUpdate) { u.At++ }, "digest": func(u *SectionUpdate) { u.Digest++ }, "full": func(u *SectionUpdate) { u.Full = !u.Full },
		"put": func(u *SectionUpdate) { u.Put = nil }, "removed": func(u *SectionUpdate) { u.Removed = []string{"x"} },
	}
	for name, change := range updates {
		b := goldenInventory(t)
		if change(&b.Updates[1]); b.Verify() {
			t.Errorf("%s of an update is not covered", name)
		}
	}
	losses := map[string]func(*Loss){
		"from": func(l *Loss) { l.FromSeq++ }, "to": func(l *Loss) { l.ToSeq++ }, "from_at": func(l *Loss) { l.FromAt++ }, "to_at": func(l *Loss) { l.ToAt++ },
		"kind": func(l *Loss) { l.Kind++ }, "batches": func(l *Loss) { l.Batches++ }, "reason": func(l *Loss) { l.Reason = "" },
	}
	for name, change := range losses {
		b := goldenInventory(t)
		if change(&b.Losses[0]); b.Verify() {
			t.Errorf("%s of a loss is not covered", name)
		}
	}
	renamed := goldenInventory(t)
	if renamed.Epoch, renamed.Seq = 1, 1; !renamed.Verify() {
		t.Error("a spool cannot rename a batch")
	}
}

// FuzzDecoders gives hostile bytes to every decoder of messages: none panics, and
// what one accepts survives being encoded again.
func FuzzDecoders(f *testing.F) {
	for _, g := range goldenFiles(f) {
		f.Add(g)
	}
	f.Add([]byte{0xa1, 0x06, 0x43, 0x00, 0x02, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		again(t, data, DecodeHello, AppendHello)
		again(t, data, DecodeWelcome, AppendWelcome)
		again(t, data, DecodeAck, AppendAck)
		again(t, data, DecodeHeartbeat, AppendHeartbeat)
		again(t, data, DecodeResync, AppendResync)
		again(t, data, DecodeGoodbye, AppendGoodbye)
		again(t, data, DecodeEnrollRequest, AppendEnrollRequest)
		again(t, data, DecodeEnrollReply, AppendEnrollReply)
		for _, s := range facts.Sections() {
			if row, err := DecodeRow(s.ID, data); err == nil {
				if _, err := EncodeRow(row); err != nil && !errors.Is(err, ErrTooLarge) {
					t.Errorf("row of %s: %v", s.Name, err)
				}
			}
		}
	})
}

func again[M any](t *testing.T, data []byte, decode func([]byte) (M, error), encode func([]byte, M) []byte) {
	m, err := decode(data)
	if err != nil {
		return
	}
	first := encode(nil, m)
	m, err = decode(first)
	if err != nil || !bytes.Equal(first, encode(nil, m)) {
		t.Errorf("%T does not survive its own encoding: %v", m, err)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	for name, g := range goldenFiles(f) {
		if strings.HasPrefix(name, "batch") || strings.HasPrefix(name, "stored") {
			f.Add(g, g)
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var series []metric.Series
		dec := NewMetricDecoder(func(n uint32, s metric.Series) {
			for len(series) <= int(n) {
				series = append(series, metric.Series{Name: "gap"})
			}
			series[n] = s
		})
		enc := NewMetricEncoder()
		enc.SetVersion(Version)
		twin := NewMetricDecoder(nil)
		for _, data := range [][]byte{first, second} {
			b, err := DecodeBatch(data, dec)
			if err != nil {
				return
			}
			enc.SetSeries(series)
			sameBatch(t, b, func() ([]byte, error) { return AppendBatch(nil, b, enc) }, func(d []byte) (*Batch, error) { return DecodeBatch(d, twin) })
		}
	})
}

func FuzzDecodeStored(f *testing.F) {
	for _, g := range goldenFiles(f) {
		f.Add(g)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeStored(data)
		if err != nil {
			return
		}
		sameBatch(t, b, func() ([]byte, error) { return AppendStored(nil, b) }, DecodeStored)
	})
}

func sameBatch(t *testing.T, b *Batch, encode func() ([]byte, error), decode func([]byte) (*Batch, error)) {
	t.Helper()
	data, err := encode()
	if err != nil {
		t.Fatalf("decoded but not encoded: %v", err)
	}
	got, err := decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := sameFrames(got.Frames, b.Frames); err != nil {
		t.Error(err)
	}
	if got.Sum() != b.Sum() {
		t.Error("another sum")
	}
}

// packageRows is a plausible software section of n packages.
func packageRows(n int) []facts.Row {
	rows := make([]facts.Row, n)
	for i := range rows {
		rows[i] = &facts.PackageRow{
			Name: fmt.Sprintf("lib%x", i*7919), Version: fmt.Sprintf("%d.%d-%d", i%9, i%31, i%4), Arch: "amd64", Source: "dpkg",
			Vendor: "Debian Team <team@example.org>", SizeBytes: int64(i) * 4096, Category: "libs", Auto: i%3 > 0,
		}
	}
	return rows
}

// TestLargeInventoryTravelsCompressed follows a whole software section through
// framing, compression and both codecs.
func TestLargeInventoryTravelsCompressed(t *testing.T) {
	items, err := Items(facts.Sort(packageRows(1500)))
	if err != nil {
		t.Fatal(err)
	}
	u := SectionUpdate{Section: facts.Packages, Status: facts.StatusOK, At: goldenTime, Digest: facts.DigestOf(items), Full: true}
	for _, it := range items {
		u.Put = append(u.Put, it.Data)
	}
	b := &Batch{Epoch: 1, Seq: 1, Kind: KindInventory, At: goldenTime, Updates: []SectionUpdate{u}}
	b.Checksum = b.Sum()
	payload, err := AppendBatch(nil, b, NewMetricEncoder())
	if err != nil {
		t.Fatal(err)
	}
	message := AppendMessage(nil, TypeBatch, payload)
	t.Logf("%d rows: %d B, %d B compressed", len(items), len(payload), len(message))
	if len(message) > len(payload)/3 {
		t.Errorf("%d B became %d", len(payload), len(message))
	}
	_, received, err := NewReader(bytes.NewReader(message), BatchLimits()).Next()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeBatch(received, NewMetricDecoder(nil))
	if err != nil || !got.Verify() {
		t.Fatalf("%v", err)
	}
	var again []facts.Item
	for _, data := range got.Updates[0].Put {
		row, err := DecodeRow(facts.Packages, data)
		if err != nil {
			t.Fatal(err)
		}
		again = append(again, facts.Item{Key: row.Key(), Data: data})
	}
	if facts.DigestOf(again) != u.Digest {
		t.Error("another digest")
	}
}
