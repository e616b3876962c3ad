//go:build unix

package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminal returns the width of the terminal that f is, 0 when it is none, and
// whether it understands colours.
func terminal(f *os.File) (width int, colours bool) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, false
	}
	return int(size.Col), true
}
