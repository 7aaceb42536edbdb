package console

import (
	"os"

	"golang.org/x/sys/windows"
)

// showsEscapes turns escape sequences on, which older consoles do not take, and
// reports whether that went well.
func showsEscapes(f *os.File) bool {
	console := windows.Handle(f.Fd())
	var mode uint32
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}

// utf8CodePage reports whether the console takes UTF-8 (code page 65001).
func utf8CodePage() bool {
	page, err := windows.GetConsoleOutputCP()
	return err == nil && page == 65001
}
