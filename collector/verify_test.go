package collector

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// verifyEnv makes the test binary the process that verifies: "yes", or "crash".
const verifyEnv = "ATALAYA_TEST_VERIFY"

func TestMain(m *testing.M) {
	switch os.Getenv(verifyEnv) {
	case "yes":
		if err := Verify(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	case "crash":
		panic("a page that nobody thought of")
	}
	os.Exit(m.Run())
}

func TestTheStateIsVerifiedInAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), store.FileName)
	s, err := store.Open(store.Config{Path: path, NoSync: true, Verify: verifier(context.Background(), []string{os.Args[0]})})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Update(func(tx *store.Tx) error { return tx.PutHost(store.Host{ID: identity.HostID{1}, Name: "web-of-one"}) })
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(verifyEnv, "yes")
	r, err := s.Scrub()
	if err != nil || r.Count != 0 || r.Records == 0 || r.Path != path {
		t.Fatalf("sound file: %+v, %v", r, err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := 0; ; { // every version of the record that the file holds
		i := bytes.Index(content[at:], []byte("web-of-one"))
		if i < 0 {
			break
		}
		at += i + 1
		if _, err := f.WriteAt([]byte("W"), int64(at-1)); err != nil {
			t.Fatal(err)
		}
	}
	r, err = s.Scrub()
	if err != nil || r.Count == 0 || r.Damage[0].Table != "store.hosts" || !r.Damage[0].Record {
		t.Errorf("damaged record: %+v, %v", r, err)
	}
	t.Setenv(verifyEnv, "crash")
	if r, err = s.Scrub(); err == nil || !strings.Contains(err.Error(), "nobody thought of") {
		t.Errorf("the process ended: %+v, %v; want that said", r, err)
	}
}

func TestWhatIsNoStateFileIsNotVerified(t *testing.T) {
	var out bytes.Buffer
	for _, n := range []store.Snapshot{{}, {Path: "/nowhere", PageSize: 8192, Bytes: 1 << 20}, {Path: t.TempDir(), Root: 3, PageSize: 8192, Bytes: 1 << 20}} {
		in, err := json.Marshal(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := Verify(bytes.NewReader(in), &out); err == nil || out.Len() > 0 {
			t.Errorf("%+v: %v, %q", n, err, out.String())
		}
	}
	if err := Verify(strings.NewReader("{"), &out); err == nil {
		t.Error("half a snapshot was taken")
	}
}
