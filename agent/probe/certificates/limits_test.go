package certificates

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// reason is the status of the section of a host, and why.
func reason(h *probe.Host, p probe.Probe) (facts.Status, string) {
	s := probetest.Sections(h, p)["certificates"]
	return s.Status, s.Reason
}

func TestMoreCertificatesThanAreLookedAtAreSaid(t *testing.T) {
	named := func(n, from int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "--cert=/srv/c%d.pem\x00", from+i)
		}
		return b.String()
	}
	files := map[string]string{"etc/ssl/a.pem": block("CERTIFICATE", issue(t, "a", false)), "proc/1/cmdline": named(maxNamed, 0)}
	if got, why := reason(probe.RootHost(probetest.Tree(t, files)), New()); got != facts.StatusOK {
		t.Errorf("%d of one program: %v %q", maxNamed, got, why)
	}
	files["proc/1/cmdline"] = named(maxNamed+1, 0)
	if got, why := reason(probe.RootHost(probetest.Tree(t, files)), New()); got != facts.StatusPartial || !strings.Contains(why, "are named") {
		t.Errorf("one more: %v %q", got, why)
	}
	files["proc/1/cmdline"] = ""
	for i := range 5 * maxNamed {
		files[fmt.Sprintf("proc/1/fd/%d", i)] = fmt.Sprintf("-> /srv/c%d.pem", i)
	}
	files["proc/1/fd/socket"] = "-> socket:[1]"
	h := probe.RootHost(probetest.Tree(t, files))
	if got, why := reason(h, New()); got != facts.StatusPartial || !strings.Contains(why, "are named") {
		t.Errorf("held open: %v %q", got, why)
	}
	if certs, err := (&search{host: h}).heldOpen("/proc/1", nil); err != nil || len(certs) != maxNamed+1 {
		t.Errorf("%d of those held open are kept, %v", len(certs), err)
	}
	for i := range maxUsed/maxNamed + 1 {
		files[fmt.Sprintf("proc/%d/cmdline", i+1)] = named(maxNamed, i*maxNamed)
	}
	p := New().(*certProbe)
	if got, why := reason(probe.RootHost(probetest.Tree(t, files)), p); got != facts.StatusPartial || !strings.Contains(why, "are named") {
		t.Errorf("of many programs: %v %q", got, why)
	}
	if limit := maxUsed + 100; len(p.files) > limit {
		t.Errorf("%d files are remembered", len(p.files))
	}
}

func TestAConfigurationThatNamesTooManyIsSaid(t *testing.T) {
	var many strings.Builder
	for i := range maxNamed + 1 {
		fmt.Fprintf(&many, "ssl_certificate /srv/c%d.pem;\n", i)
	}
	same := strings.Repeat("ssl_certificate /srv/one.pem;\n", 10*maxNamed)
	for want, text := range map[facts.Status]string{facts.StatusPartial: many.String(), facts.StatusOK: same + "ssl_certificate /srv/last.pem;\n"} {
		root := probetest.Tree(t, map[string]string{
			"etc/nginx/nginx.conf": text, "srv/one.pem": block("CERTIFICATE", issue(t, "one", false)), "srv/last.pem": block("CERTIFICATE", issue(t, "last", false)),
			"srv/c0.pem": block("CERTIFICATE", issue(t, "c0", false)),
		})
		p := New()
		for range 2 { // the second time from memory
			if got, why := reason(probe.RootHost(root), p); got != want || want == facts.StatusPartial && !strings.Contains(why, "nginx.conf") {
				t.Errorf("%v %q, want %v", got, why, want)
			}
		}
	}
}

func TestMoreCertificatesThanOneFileMayHaveAreSaid(t *testing.T) {
	one := block("CERTIFICATE", issue(t, "a", true))
	for n, want := range map[int]facts.Status{maxCerts: facts.StatusOK, maxCerts + 1: facts.StatusPartial} {
		root := probetest.Tree(t, map[string]string{"etc/ssl/many.pem": strings.Repeat(one, n)})
		if got, why := reason(probe.RootHost(root), New()); got != want {
			t.Errorf("%d in one file: %v %q, want %v", n, got, why, want)
		}
	}
}

func TestWhatIsKnownOfFilesOutlivesAReadingThatWasCutShort(t *testing.T) {
	root := probetest.Tree(t, map[string]string{"etc/ssl/a.pem": block("CERTIFICATE", issue(t, "a", false))})
	p := New().(*certProbe)
	probe.RunOnce(t.Context(), probe.RootHost(root), p)
	was := p.files["/etc/ssl/a.pem"]
	over, cancel := context.WithCancel(t.Context())
	cancel()
	r := probe.NewReport(nil, 0)
	if err := p.Collect(over, probe.RootHost(root), r); err != nil {
		t.Fatal(err)
	}
	if was == nil || p.files["/etc/ssl/a.pem"] != was || r.Rows(facts.Certificates) != 0 {
		t.Errorf("known %v, now %v, %d rows", was, p.files["/etc/ssl/a.pem"], r.Rows(facts.Certificates))
	}
}

// TestTextOfManyBlocksIsSearchedOnce: 3.6 MB of blocks that do not end took 19 s.
func TestTextOfManyBlocksIsSearchedOnce(t *testing.T) {
	for _, part := range []string{"-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----\n", "-----BEGIN RSA PRIVATE KEY-----\n"} {
		text := []byte(strings.Repeat(part, maxFileBytes/len(part)))
		began := time.Now()
		if got := Parse(text); len(got) != 0 {
			t.Errorf("%d certificates of %q", len(got), part)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%d times %q took %v", maxFileBytes/len(part), part, took)
		}
	}
}

// plainPEM is eachPEM as it is easiest to see that it is right.
func plainPEM(b []byte, visit func(der []byte) bool) {
	for {
		i := bytes.Index(b, []byte("-----BEGIN "))
		if i < 0 {
			return
		}
		b = b[i:]
		end, next := bytes.Index(b, []byte("-----END ")), bytes.Index(b[1:], []byte("-----BEGIN "))
		if !slices.ContainsFunc(labels, func(l []byte) bool { return bytes.HasPrefix(b, l) }) || end < 0 || next >= 0 && next+1 < end {
			b = b[len("-----BEGIN "):]
			continue
		}
		stop := len(b)
		if nl := bytes.IndexByte(b[end:], '\n'); nl >= 0 {
			stop = end + nl + 1
		}
		if block, _ := pem.Decode(b[:stop]); block != nil {
			if der, ok := firstElement(block.Bytes); ok && !visit(der) {
				return
			}
		}
		b = b[stop:]
	}
}

func TestBlocksAreFoundAsThePlainSearchFindsThem(t *testing.T) {
	good := block("CERTIFICATE", []byte{0x30, 3, 2, 1, 5})
	parts := []string{
		good, block("TRUSTED CERTIFICATE", []byte{0x30, 3, 2, 1, 6}), block("RSA PRIVATE KEY", []byte{0x30, 3, 2, 1, 7}), good[:len(good)-1], "\n", "x\n",
		"-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", "-----BEGIN ", "-----END ", "MAMCAQU=\n", "-----BEGIN CERTIFICATE-----", "a: b\n\n",
	}
	random := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 20_000 {
		var text []byte
		for range random.IntN(9) {
			text = append(text, parts[random.IntN(len(parts))]...)
		}
		var got, want []string
		eachPEM(text, func(der []byte) bool { got = append(got, string(der)); return len(got) < 3 })
		plainPEM(text, func(der []byte) bool { want = append(want, string(der)); return len(want) < 3 })
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%q: %s", text, d)
		}
		found += len(got)
	}
	if found < 1000 {
		t.Errorf("only %d blocks were found in all", found)
	}
}
