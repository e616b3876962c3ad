package certificates

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
)

// crypto/x509 refuses a certificate as a whole when it does not know the curve of its key
// or dislikes an extension. Names and dates do not depend on those: a certificate that is
// refused is read once more with a key that says nothing, then without extensions, too.
// The structure is that of RFC 5280, 4.1.

// keyless is a public key of an algorithm that does not exist.
var keyless = []byte{0x30, 0x08, 0x30, 0x03, 0x06, 0x01, 0x00, 0x03, 0x01, 0x00}

// parse is x509.ParseCertificate for all that has the structure of a certificate, with
// its public key as it stands there.
func parse(der []byte) (c *x509.Certificate, key []byte) {
	if c, err := x509.ParseCertificate(der); err == nil {
		return c, c.RawSubjectPublicKeyInfo
	}
	outer := elements(der)
	if len(outer) != 3 {
		return nil, nil
	}
	tbs := elements(outer[0])
	at := 0 // of the serial number, which a version may precede
	if len(tbs) > 0 && tbs[0][0] == 0xA0 {
		at = 1
	}
	const serial, subjectKey, fields = 0, 5, 6
	if len(tbs) < at+fields {
		return nil, nil
	}
	key = tbs[at+subjectKey]
	tbs[at+subjectKey] = keyless
	bare := slices.Clone(tbs[:at+fields])
	if number := tbs[at+serial]; len(number) > 2 && number[0] == 2 && number[2] > 0x7F { // negative: as it stands
		bare[at+serial] = element(asn1.TagInteger, false, append([]byte{0}, elementBody(number)...))
	}
	for _, fields := range [][][]byte{tbs, bare} {
		first := element(asn1.TagSequence, true, bytes.Join(fields, nil))
		whole := element(asn1.TagSequence, true, slices.Concat(first, outer[1], outer[2]))
		if c, err := x509.ParseCertificate(whole); err == nil {
			return c, key
		}
	}
	return nil, nil
}

// maxElements bounds the parts of a sequence; those of a certificate are ten.
const maxElements = 32

// elements are the parts of a sequence, with their headers.
func elements(der []byte) [][]byte {
	var out [][]byte
	for b := elementBody(der); len(b) > 0; {
		var raw asn1.RawValue
		rest, err := asn1.Unmarshal(b, &raw)
		if err != nil || len(out) == maxElements {
			return nil
		}
		out = append(out, raw.FullBytes)
		b = rest
	}
	return out
}

func elementBody(der []byte) []byte {
	var raw asn1.RawValue
	if _, err := asn1.Unmarshal(der, &raw); err != nil {
		return nil
	}
	return raw.Bytes
}

func element(tag int, compound bool, body []byte) []byte {
	b, err := asn1.Marshal(asn1.RawValue{Tag: tag, IsCompound: compound, Bytes: body})
	if err != nil {
		return nil
	}
	return b
}

// algorithms are names for those that crypto/x509 does not know; others are told by
// their number.
var algorithms = map[string]string{
	"1.2.840.113549.1.1.10": "RSAPSS", "1.3.101.113": "Ed448", "1.2.840.10045.4.1": "ECDSA-SHA224", "1.2.840.113549.1.1.14": "SHA224-RSA",
	"2.16.840.1.101.3.4.3.17": "ML-DSA-44", "2.16.840.1.101.3.4.3.18": "ML-DSA-65", "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
	"1.2.156.10197.1.501": "SM2-SM3", ecKey: "ecdsa",
}

// ecKey is the algorithm of keys on any elliptic curve (RFC 5480, 2.1.1).
const ecKey = "1.2.840.10045.2.1"

// algorithm is the name of an AlgorithmIdentifier, with its parameters.
func algorithm(der []byte) (name string, parameters []byte) {
	parts := elements(der)
	if len(parts) > 1 {
		parameters = parts[1]
	}
	number := ""
	if len(parts) > 0 {
		number = oid(parts[0])
	}
	if name, ok := algorithms[number]; ok {
		return name, parameters
	}
	return number, parameters
}

func oid(der []byte) string {
	var id asn1.ObjectIdentifier
	if _, err := asn1.Unmarshal(der, &id); err != nil {
		return ""
	}
	return id.String()
}

// otherKey describes a public key that crypto/x509 does not know. How long one is can be
// told of RSA, of Ed448 and of the curves over prime fields of whole bytes.
func otherKey(der []byte) (kind string, bits int) {
	parts := elements(der)
	if len(parts) != 2 {
		return "", 0
	}
	kind, parameters := algorithm(parts[0])
	var value asn1.BitString
	if _, err := asn1.Unmarshal(parts[1], &value); err != nil {
		return strings.ToLower(kind), 0
	}
	switch curve := oid(parameters); {
	case kind == "RSAPSS":
		if numbers := elements(value.Bytes); len(numbers) > 0 {
			bits = 8 * len(bytes.TrimLeft(elementBody(numbers[0]), "\x00"))
		}
	case kind == "Ed448":
		bits = 456
	case kind == "ecdsa" && (strings.HasPrefix(curve, "1.3.36.3.3.2.8.") || curve == "1.3.132.0.10") && len(value.Bytes)%2 == 1:
		bits = 8 * (len(value.Bytes) / 2) // both coordinates after one byte
	}
	return strings.ToLower(kind), bits
}
