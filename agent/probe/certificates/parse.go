package certificates

import (
	"bytes"
	//lint:ignore SA1019 old certificates have such keys; they are named, not used
	"crypto/dsa"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// maxCerts bounds the certificates of one file.
const maxCerts = 1000

// Parse returns the certificates of a file in the forms PEM, DER and JKS, in their
// order. Of one that is malformed the fingerprint is known. Anything else in the file
// is passed over.
func Parse(b []byte) []*facts.CertificateRow {
	var out []*facts.CertificateRow
	add := func(der []byte) bool {
		row := describe(der)
		row.Position = len(out)
		out = append(out, row)
		return len(out) < maxCerts
	}
	eachDER(b, add)
	return out
}

// eachDER visits the certificates of a file until visit returns false.
func eachDER(b []byte, visit func(der []byte) bool) {
	const java, javaCE = 0xFEEDFEED, 0xCECECECE
	switch {
	case len(b) > 12 && (binary.BigEndian.Uint32(b) == java || binary.BigEndian.Uint32(b) == javaCE):
		eachOfKeyStore(b, visit)
	case len(b) > 4 && b[0] == 0x30 && (b[1] == 0x81 || b[1] == 0x82): // a sequence of 128 bytes or more
		if der, ok := firstElement(b); ok && looksLikeCertificate(der) {
			visit(der)
		}
	default:
		eachPEM(b, visit)
	}
}

// The labels of RFC 7468, 5.1 and of OpenSSL's own form, in which trust follows.
var labels = [][]byte{[]byte("-----BEGIN CERTIFICATE-----"), []byte("-----BEGIN TRUSTED CERTIFICATE-----"), []byte("-----BEGIN X509 CERTIFICATE-----")}

// eachPEM finds the beginning of each certificate before it decodes anything, so that
// blocks with keys are never decoded. No part of the text is searched twice.
func eachPEM(b []byte, visit func(der []byte) bool) {
	const begin, finish = "-----BEGIN ", "-----END "
	end := -1 // of the present block: before it begins, not looked for yet
	for at := after(b, 0, begin); at < len(b); {
		next := after(b, at+len(begin), begin)
		if end < at {
			end = after(b, at, finish)
		}
		if end > next || end == len(b) || !slices.ContainsFunc(labels, func(l []byte) bool { return bytes.HasPrefix(b[at:], l) }) {
			at = next // what is no certificate, or cut off
			continue
		}
		stop := min(after(b, end, "\n")+1, len(b))
		if block, _ := pem.Decode(b[at:stop]); block != nil {
			if der, ok := firstElement(block.Bytes); ok && !visit(der) {
				return
			}
		}
		if at = next; at < stop {
			at = after(b, stop, begin)
		}
	}
}

// after is where text is found in b, from a place on; the end of b if it is not.
func after(b []byte, from int, text string) int {
	if i := bytes.Index(b[from:], []byte(text)); i >= 0 {
		return from + i
	}
	return len(b)
}

// broken says of a file that it names more certificates than it holds: they are cut off,
// or something else stands in their place. So it is where a file that is called a
// certificate is neither text with blocks nor a structure of ASN.1.
func broken(name string, b []byte, found int) error {
	if len(b) == 0 {
		return fmt.Errorf("%s: %w", name, probe.ErrEmpty)
	}
	if found == 0 && slices.Contains(extensions[:3], strings.ToLower(path.Ext(name))) && !bytes.Contains(b, []byte("-----BEGIN ")) {
		if _, ok := firstElement(b); !ok {
			return noneIn(name)
		}
	}
	if found > 0 && found == bytes.Count(b, []byte("-----BEGIN ")) {
		return nil // nothing else is in it
	}
	named := 0
	for _, l := range labels {
		named += bytes.Count(b, l)
	}
	switch {
	case found >= maxCerts && named > found:
		return fmt.Errorf("%s: only the first %d of %d certificates are read", name, found, named)
	case found >= named:
		return nil
	}
	return fmt.Errorf("%s: %d of %d certificates cannot be read", name, named-found, named)
}

func noneIn(name string) error { return fmt.Errorf("%s: no certificate in it can be read", name) }

// malformed says how many of the certificates of a file have no more than a fingerprint.
func malformed(name string, certs []*facts.CertificateRow) error {
	n := 0
	for _, c := range certs {
		if c.NotAfter == 0 {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s: %d of %d certificates are malformed", name, n, len(certs))
}

// firstElement is the first ASN.1 element of b, which must be a sequence as every
// certificate is.
func firstElement(b []byte) ([]byte, bool) {
	var raw asn1.RawValue
	if _, err := asn1.Unmarshal(b, &raw); err != nil || raw.Class != asn1.ClassUniversal || raw.Tag != asn1.TagSequence {
		return nil, false
	}
	return raw.FullBytes, true
}

// looksLikeCertificate tells certificates from the other DER files that lie about: keys
// begin with a number, requests have a version where these have a context tag.
func looksLikeCertificate(der []byte) bool {
	c, _ := parse(der)
	return c != nil
}

// eachOfKeyStore visits the certificates of a Java key store: magic, version, count;
// then entries of a kind, an alias and a time. A key (1) has its encrypted form and a
// chain of certificates, a trusted one (2) the certificate. See
// sun.security.provider.JavaKeyStore of OpenJDK.
func eachOfKeyStore(b []byte, visit func(der []byte) bool) {
	r := reader{b: b[4:]}
	version, count := r.number(4), r.number(4)
	certificate := func() bool {
		if version >= 2 {
			r.take(r.number(2)) // its type, "X.509"
		}
		der := r.take(r.number(4))
		return r.ok() && visit(der)
	}
	for range min(count, maxCerts) {
		kind := r.number(4)
		r.take(r.number(2)) // alias
		r.take(8)           // time
		switch kind {
		case 1:
			r.take(r.number(4)) // the key, encrypted
			for range min(r.number(4), maxCerts) {
				if !certificate() {
					return
				}
			}
		case 2:
			if !certificate() {
				return
			}
		default:
			return
		}
	}
}

// reader takes from b; once something is missing it gives nothing any more.
type reader struct {
	b    []byte
	over bool
}

func (r *reader) ok() bool { return !r.over }

func (r *reader) take(n int) []byte {
	if r.over || n < 0 || n > len(r.b) {
		r.over = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

// number takes a number of size bytes, 2 or 4.
func (r *reader) number(size int) int {
	b := r.take(size)
	n := 0
	for _, c := range b {
		n = n<<8 | int(c)
	}
	return n
}

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// moment tells the beginning of 1970, with which some certificates begin, by a millisecond
// from an unknown time.
func moment(t time.Time) facts.Time {
	if m := facts.TimeOf(t); m != 0 {
		return m
	}
	return 1
}

// describe makes the row of a certificate.
func describe(der []byte) *facts.CertificateRow {
	row := &facts.CertificateRow{SHA256: fingerprint(der)}
	c, public := parse(der)
	if c == nil {
		return row
	}
	row.Subject, row.Issuer = c.Subject.String(), c.Issuer.String()
	row.Serial = hex.EncodeToString(c.SerialNumber.Bytes())
	row.NotBefore, row.NotAfter = moment(c.NotBefore), moment(c.NotAfter)
	if row.KeyType, row.KeyBits = key(c.PublicKey); row.KeyType == "" {
		row.KeyType, row.KeyBits = otherKey(public)
	}
	if c.SignatureAlgorithm != x509.UnknownSignatureAlgorithm {
		row.Signature = c.SignatureAlgorithm.String()
	} else if parts := elements(c.Raw); len(parts) == 3 {
		row.Signature, _ = algorithm(parts[1])
	}
	row.CA = c.IsCA
	row.SelfSigned = bytes.Equal(c.RawSubject, c.RawIssuer) && signedByItself(c)
	row.Names = names(c)
	return row
}

// signedByItself tells by the key identifiers: to check the signature takes a hundred
// times as long, and some old algorithms are refused.
func signedByItself(c *x509.Certificate) bool {
	return len(c.AuthorityKeyId) == 0 || len(c.SubjectKeyId) == 0 || bytes.Equal(c.AuthorityKeyId, c.SubjectKeyId)
}

func key(k any) (kind string, bits int) {
	switch k := k.(type) {
	case *rsa.PublicKey:
		return "rsa", k.N.BitLen()
	case *ecdsa.PublicKey:
		return "ecdsa", k.Curve.Params().BitSize
	case ed25519.PublicKey:
		return "ed25519", 256
	case *dsa.PublicKey:
		return "dsa", k.P.BitLen()
	}
	return "", 0
}

// maxNames bounds the alternative names of a row.
const maxNames = 100

// names lists the alternative names, sorted.
func names(c *x509.Certificate) []string {
	list := slices.Concat(c.DNSNames, c.EmailAddresses)
	for _, ip := range c.IPAddresses {
		list = append(list, ip.String())
	}
	for _, u := range c.URIs {
		list = append(list, u.String())
	}
	for i, s := range list {
		list[i] = strings.ToValidUTF8(s, "\uFFFD")
	}
	list = sortedUnique(list)
	return list[:min(len(list), maxNames)]
}
