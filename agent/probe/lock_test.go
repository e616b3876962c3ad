package probe

import "testing"

func TestHeldLocksAreToldFromThoseWaitedFor(t *testing.T) {
	const locks = "1: POSIX  ADVISORY  WRITE 1234 08:02:3147 0 EOF\n" +
		"1: -> POSIX  ADVISORY  WRITE 99 08:02:3148 0 EOF\n" +
		"2: FLOCK  ADVISORY  WRITE 77 fe:00:12 0 EOF\n3: odd\n"
	for inode, want := range map[uint64]bool{3147: true, 3148: false, 12: true, 147: false, 1: false} {
		if got := holdsLock([]byte(locks), inode); got != want {
			t.Errorf("inode %d: %v, want %v", inode, got, want)
		}
	}
}

func FuzzHoldsLock(f *testing.F) {
	f.Add([]byte("1: POSIX  ADVISORY  WRITE 1234 08:02:3147 0 EOF\n"), uint64(3147))
	f.Fuzz(func(t *testing.T, b []byte, inode uint64) { holdsLock(b, inode) })
}
