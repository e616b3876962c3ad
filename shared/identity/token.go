package identity

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"strings"
)

// Token lets one host enrol: where the collector is, how to recognise it, and the
// secret that it accepts once. Whoever has the text has the token.
type Token struct {
	Address string   // of the collector's UDP port, host:port
	CAPin   [32]byte // KeyHash of the collector's CA
	Secret  [20]byte // 160 random bits
}

// The text form is tokenPrefix and base64url of: version (1 byte), length of the
// address (1 byte), address, pin, secret, CRC-32C of all before it (4 bytes,
// big-endian). The sum tells a mistyped token from a refused one; it protects nothing.
const (
	tokenPrefix  = "at1_"
	tokenVersion = 1
	tokenFixed   = 2 + 32 + 20 + 4 // bytes beside the address
)

// castagnoli is the polynomial of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// String returns the token's text. It is a secret: never log it.
func (t Token) String() string {
	b := make([]byte, 0, tokenFixed+len(t.Address))
	b = append(b, tokenVersion, byte(len(t.Address)))
	b = append(b, t.Address...)
	b = append(b, t.CAPin[:]...)
	b = append(b, t.Secret[:]...)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// ParseToken is the inverse of String. White space around the text is ignored. Its
// errors say what is wrong with the text and never repeat it.
func ParseToken(text string) (Token, error) {
	body, ok := strings.CutPrefix(strings.TrimSpace(text), tokenPrefix)
	switch {
	case strings.TrimSpace(text) == "":
		return Token{}, errors.New("the token is empty: make one with `atalaya token create`")
	case !ok:
		return Token{}, fmt.Errorf("this is no enrolment token: those begin with %q and come from `atalaya token create`", tokenPrefix)
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(body, "="))
	if err != nil {
		if at := strings.IndexFunc(body, notBase64URL); at >= 0 {
			return Token{}, fmt.Errorf("the token is mistyped: character %d does not belong there; copy all of it", len(tokenPrefix)+at+1)
		}
		return Token{}, errors.New("the token is cut or mistyped: copy all of it")
	}
	return decodeToken(b)
}

func notBase64URL(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

func decodeToken(b []byte) (Token, error) {
	whole := len(b) >= tokenFixed && crc32.Checksum(b[:len(b)-4], castagnoli) == binary.BigEndian.Uint32(b[len(b)-4:])
	if whole && b[0] != tokenVersion {
		return Token{}, fmt.Errorf("the token is of version %d, this program knows %d: update it", b[0], tokenVersion)
	}
	if len(b) < tokenFixed || len(b) < tokenFixed+int(b[1]) {
		return Token{}, errors.New("the token is cut: copy all of it")
	}
	if len(b) > tokenFixed+int(b[1]) {
		return Token{}, errors.New("the token is mistyped: it is too long; copy no more than it")
	}
	if !whole {
		return Token{}, errors.New("the token is mistyped: its check sum does not match; copy all of it")
	}
	var t Token
	content := b[:len(b)-4]
	address, rest := content[2:2+int(b[1])], content[2+int(b[1]):]
	t.Address = string(address)
	copy(t.CAPin[:], rest)
	copy(t.Secret[:], rest[len(t.CAPin):])
	return t, CheckAddress(t.Address)
}

// CheckAddress refuses what is not host:port, or longer than a token can hold.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || len(address) > 255 {
		return fmt.Errorf("collector address %q: want host:port, for example collector.example.org:7443", address)
	}
	return nil
}
