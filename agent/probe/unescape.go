package probe

import (
	"slices"
	"strings"
)

// Unescape undoes how the kernel and fstab(5) write characters that would end a field, each
// a backslash with three octal digits: \040 \011 \012 \134 and, of a source, \043
// (proc_pid_mountinfo(5)). The name comes as valid UTF-8.
//
// Not so /proc/PID/maps, which escapes the line break alone: there a backslash is one.
func Unescape(s string) string { return strings.ToValidUTF8(unescape(s), "\uFFFD") }

// unescape leaves other bytes as they are: of a name by which a file is to be found.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && s[i+1] < '4' && octal(s[i+1]) && octal(s[i+2]) && octal(s[i+3]) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

func octal(c byte) bool { return '0' <= c && c <= '7' }

// MountFields cuts a line of proc_pid_mountinfo(5) at its blanks, before the dash and behind
// it: number, parent, device, root, point, options ...; type, source, options. A source may be
// empty, and names may hold what else ends fields: a carriage return, a blank of Unicode.
func MountFields(line string) (mount, source []string, ok bool) {
	head, tail, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " - ")
	mount, source = strings.Split(head, " "), strings.Split(tail, " ")
	mount = slices.DeleteFunc(mount, func(s string) bool { return s == "" })
	return mount, source, ok && len(mount) >= 6 && len(source) >= 2
}
