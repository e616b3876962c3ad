package identity

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

func testToken() Token {
	t := Token{Address: "collector.example.org:7443"}
	for i := range t.CAPin {
		t.CAPin[i] = byte(i)
	}
	for i := range t.Secret {
		t.Secret[i] = byte(200 + i)
	}
	return t
}

// goldenToken was printed by the first version; tokens live on paper and in scripts.
const goldenToken = "at1_ARpjb2xsZWN0b3IuZXhhbXBsZS5vcmc6NzQ0MwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fyMnKy8zNzs_Q0dLT1NXW19jZ2tvbILKq"

func TestTokenTextStaysTheSame(t *testing.T) {
	text := testToken().String()
	if text != goldenToken {
		t.Errorf("got  %s\nwant %s", text, goldenToken)
	}
	got, err := ParseToken("  " + text + "\n")
	if err != nil || got != testToken() {
		t.Errorf("ParseToken: %+v, %v", got, err)
	}
}

func TestTokenErrorsSayWhatIsWrong(t *testing.T) {
	text := testToken().String()
	flipped := []byte(text)
	flipped[40] ^= 1
	badAddress := Token{Address: "collector"}
	newer := []byte{tokenVersion + 1, 0}
	newer = append(newer, make([]byte, 60)...)
	newer = binary.BigEndian.AppendUint32(newer, crc32.Checksum(newer, castagnoli))
	for _, c := range []struct{ name, text, want string }{
		{"empty", " \n", "is empty"},
		{"other", "ghp_abc", `begin with "at1_"`},
		{"cut in the middle", text[:60], "is cut"},
		{"cut by one", text[:len(text)-1], "is cut"},
		{"only the prefix", "at1_", "is cut"},
		{"a letter changed", string(flipped), "mistyped"},
		{"a letter too much", text + "A", "mistyped"},
		{"a quote", text[:50] + "'" + text[51:], "character 51 does not belong"},
		{"newer", tokenPrefix + base64.RawURLEncoding.EncodeToString(newer), "version 2, this program knows 1: update it"},
		{"the version's letter changed", "at1_" + "Ah" + text[6:], "mistyped: its check sum"},
		{"no port", badAddress.String(), "want host:port"},
	} {
		_, err := ParseToken(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if err != nil && len(c.text) > 20 && strings.Contains(err.Error(), c.text[10:20]) {
			t.Errorf("%s: the error repeats the secret: %v", c.name, err)
		}
	}
}

// TestEveryCutOrChangedTokenIsNoticed: no prefix and no change of one character parses.
func TestEveryCutOrChangedTokenIsNoticed(t *testing.T) {
	token := Token{Address: "[2001:db8::1]:7443"}
	rand.Read(token.Secret[:])
	text := token.String()
	for i := range text {
		if _, err := ParseToken(text[:i]); err == nil {
			t.Errorf("cut to %d characters it parses", i)
		}
		for _, c := range []byte("Ab_7") {
			changed := []byte(text)
			if changed[i] == c {
				continue
			}
			changed[i] = c
			if got, err := ParseToken(string(changed)); err == nil && got != token {
				t.Errorf("character %d changed to %q gives another token", i, c)
			}
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(testToken().String())
	f.Add("at1_")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(token.String())
		if err != nil || again != token {
			t.Errorf("%+v became %+v, %v", token, again, err)
		}
	})
}
