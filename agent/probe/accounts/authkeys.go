package accounts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// maxKeysFile bounds a file of authorised keys; a key has less than 1 kB.
const maxKeysFile = 4 << 20

// collectKeys reads the authorised keys of every account. Homes on file systems that may
// not answer are left alone.
func collectKeys(ctx context.Context, h *probe.Host, r *probe.Report, users []facts.Row, groups groupsOf) error {
	var s sshd
	s.file(h, "/etc/ssh/sshd_config", nil, 0)
	remotes := h.Remotes()
	skipped := false
	for _, row := range users {
		if err := ctx.Err(); err != nil {
			return err
		}
		u := row.(*facts.UserRow)
		for _, name := range s.filesOf(u, groups) {
			if remotes.Hold(name) {
				skipped = true
				continue
			}
			err := readKeys(h, r, u.Name, name)
			if err != nil && !probe.Absent(err) {
				r.Hidden(facts.AuthorizedKeys, err, func(row facts.Row) bool { return row.(*facts.AuthorizedKeyRow).File == name })
			}
		}
	}
	var remarks []string
	if s.command {
		remarks = append(remarks, "keys that AuthorizedKeysCommand gives are not listed")
	}
	if groups.unread != nil && s.asksGroups() {
		r.Problem(facts.AuthorizedKeys, fmt.Errorf("groups that sshd_config asks for: %w", groups.unread))
	}
	if len(s.depends) > 0 {
		remarks = append(remarks, "keys of some connections alone are among them: "+strings.Join(s.depends, ", "))
	}
	if skipped {
		remarks = append(remarks, "keys in homes on remote file systems are not listed")
	}
	r.Problem(facts.AuthorizedKeys, s.problems.Err())
	if len(remarks) > 0 {
		r.Remark(facts.AuthorizedKeys, strings.Join(remarks, "; "))
	}
	return nil
}

// readKeys adds the keys of one file. A folder that the service's unit hides from the
// agent looks empty, and is told from one that is.
func readKeys(h *probe.Host, r *probe.Report, user, name string) error {
	if info, err := h.Stat(path.Dir(name)); err != nil {
		return err
	} else if h.Live() && hidden(info) {
		return &fs.PathError{Op: "open", Path: path.Dir(name), Err: errHidden}
	}
	info, err := h.Stat(name)
	if err != nil {
		return err
	}
	if info.Size() > maxKeysFile {
		return fmt.Errorf("read %q: larger than the limit of %d bytes", name, maxKeysFile)
	}
	data, err := h.ReadFile(name)
	if err != nil {
		return err
	}
	rows, err := ParseAuthorizedKeys(data)
	for _, row := range rows {
		k := row.(*facts.AuthorizedKeyRow)
		k.User, k.File = user, name
		r.Add(facts.AuthorizedKeys, k)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

var errHidden = fmt.Errorf("hidden from the agent: %w", fs.ErrPermission)

// ParseAuthorizedKeys reads a file as described in sshd(8), "AUTHORIZED_KEYS FILE FORMAT".
// Like sshd it passes over lines that are no key, and names the first of them.
func ParseAuthorizedKeys(data []byte) ([]facts.Row, error) {
	var out []facts.Row
	var problem error
	bad, number := 0, 0
	for line := range strings.Lines(string(data)) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		row, err := parseKey(line)
		if err == nil {
			out = append(out, row)
		} else if bad++; bad <= maxBadLines {
			problem = errors.Join(problem, fmt.Errorf("line %d: %w", number, err))
		}
	}
	return out, problem
}

// parseKey reads "options type base64 comment"; options may be missing.
func parseKey(line string) (*facts.AuthorizedKeyRow, error) {
	row := new(facts.AuthorizedKeyRow)
	kind, rest, _ := strings.Cut(line, " ")
	if !isKeyType(kind) {
		end := optionsEnd(line)
		row.Options = keyOptions(line[:end])
		kind, rest, _ = strings.Cut(strings.TrimLeft(line[end:], " \t"), " ")
	}
	if !isKeyType(kind) {
		return nil, errors.New("is no key") // its text may be a secret
	}
	encoded, comment, _ := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("has a damaged key")
	}
	inner, fields, ok := sshString(blob)
	if !ok || string(inner) != kind {
		return nil, errors.New("has a key of another type than it says")
	}
	sum := sha256.Sum256(blob)
	row.Type, row.Fingerprint = kind, "SHA256:"+base64.RawStdEncoding.EncodeToString(sum[:])
	row.Bits, row.Comment = keyBits(kind, fields), strings.ToValidUTF8(strings.TrimSpace(comment), "\uFFFD")
	return row, nil
}

func isKeyType(s string) bool {
	return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-sha2-") || strings.HasPrefix(s, "sk-ssh-") || strings.HasPrefix(s, "sk-ecdsa-")
}

// optionsEnd is the first blank outside of quotes.
func optionsEnd(line string) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\\' && i+1 < len(line) && line[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t'):
			return i
		}
	}
	return len(line)
}

// keyOptions splits at commas outside of quotes. Commands and variables are masked.
func keyOptions(text string) []string {
	var out []string
	start, quoted := 0, false
	for i := 0; i <= len(text); i++ {
		if i == len(text) || text[i] == ',' && !quoted {
			if o := text[start:i]; o != "" {
				out = append(out, maskOption(o))
			}
			start = i + 1
			continue
		}
		if text[i] == '"' && (i == 0 || text[i-1] != '\\') {
			quoted = !quoted
		}
	}
	return out
}

func maskOption(o string) string {
	name, value, ok := strings.Cut(o, "=")
	if !ok {
		return o
	}
	value = strings.TrimSuffix(strings.TrimPrefix(value, `"`), `"`)
	return name + "=" + probe.Mask(strings.ReplaceAll(value, `\"`, `"`))
}

// sshString takes a string with its length before it (RFC 4251, section 5).
func sshString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if b = b[4:]; uint64(n) > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// keyBits is the size of a key: of RSA its modulus (RFC 4253, section 6.6), of DSA its
// prime, else it follows from the type. 0 is not known.
func keyBits(kind string, fields []byte) int {
	switch {
	case strings.Contains(kind, "ed25519"):
		return 256
	case strings.Contains(kind, "nistp"):
		n, _ := strconv.Atoi(strings.TrimSuffix(kind[strings.Index(kind, "nistp")+5:], "@openssh.com"))
		return n
	case kind == "ssh-rsa":
		_, fields, _ = sshString(fields) // the exponent
	case kind != "ssh-dss":
		return 0
	}
	n, _, ok := sshString(fields)
	if n = bytes.TrimLeft(n, "\x00"); !ok || len(n) == 0 {
		return 0
	}
	return len(n)*8 - bits.LeadingZeros8(n[0])
}
