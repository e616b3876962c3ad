package cli

import (
	"os"

	"golang.org/x/sys/windows"
)

// terminal returns the width of the console that f is, 0 when it is none, and
// whether it understands colours.
func terminal(f *os.File) (width int, colours bool) {
	handle := windows.Handle(f.Fd())
	var info windows.ConsoleScreenBufferInfo
	if windows.GetConsoleScreenBufferInfo(handle, &info) != nil {
		return 0, false
	}
	var mode uint32
	err := windows.GetConsoleMode(handle, &mode)
	return int(info.Window.Right-info.Window.Left) + 1, err == nil && mode&windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING != 0
}
