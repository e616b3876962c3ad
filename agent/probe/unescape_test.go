package probe

import (
	"slices"
	"testing"
	"unicode/utf8"
)

func TestUnescape(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := Unescape(in); got != want {
			t.Errorf("Unescape(%q) = %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("plain", "plain")
	f(`a\040b\011c\012d\134e\043f`, "a b\tc\nd\\e#f")
	f(`\134040`, `\040`) // a backslash in the name
	f(`a\04`, `a\04`)
	f(`\048`, `\048`)
	f(`\777`, `\777`)
	f(`\400`, `\400`)
	f(`\`, `\`)
	f(`\303\251`, "é")
	f(`\377x`, "\uFFFDx")
	f("\xff", "\uFFFD")
	if got := unescape(`\377`); got != "\xff" {
		t.Errorf("the bytes of a name became %q", got)
	}
}

func FuzzUnescape(f *testing.F) {
	f.Add(`a\040b\134\777\`)
	f.Fuzz(func(t *testing.T, s string) {
		if got := unescape(s); len(got) > len(s) || !utf8.ValidString(Unescape(s)) {
			t.Errorf("%q became %q", s, got)
		}
	})
}

func TestMountFields(t *testing.T) {
	f := func(line string, ok bool, wantMount, wantSource []string) {
		t.Helper()
		mount, source, got := MountFields(line)
		if got != ok || ok && (!slices.Equal(mount, wantMount) || !slices.Equal(source, wantSource)) {
			t.Errorf("%q: %q, %q, %v", line, mount, source, got)
		}
	}
	f("1 0 0:5 / /a\u00a0b\rc\vd rw shared:1 - tmpfs  rw\n", true, []string{"1", "0", "0:5", "/", "/a\u00a0b\rc\vd", "rw", "shared:1"}, []string{"tmpfs", "", "rw"})
	f("1 0 0:5 /  /a rw - ext4 /dev/a rw\r\n", true, []string{"1", "0", "0:5", "/", "/a", "rw"}, []string{"ext4", "/dev/a", "rw"})
	f("1 0 0:5 / /a rw ext4 /dev/a rw", false, nil, nil)
	f("1 0 0:5 / /a - ext4 /dev/a rw", false, nil, nil)
	f("1 0 0:5 / /a rw - ext4", false, nil, nil)
	f("", false, nil, nil)
}
