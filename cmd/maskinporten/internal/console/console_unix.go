//go:build !windows

package console

import "os"

// showsEscapes reports whether the terminal f takes escape sequences.
func showsEscapes(*os.File) bool { return true }

func utf8CodePage() bool { return true }
