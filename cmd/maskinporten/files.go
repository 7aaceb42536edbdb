package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/console"
)

// writeSecret writes a file that only its owner can read, whole or not at all.
// It goes over a file that is there only if it may.
//
// On Windows, where the rights of a file are not in its mode, it has those of
// its folder.
func writeSecret(path string, content []byte, over bool) error {
	if !over {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already: give another name with --out, or --force", path)
		}
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".maskinporten-*") // with 0600
	if err != nil {
		var of *fs.PathError // names the temporary file, which says nothing to anybody
		if errors.As(err, &of) {
			err = fmt.Errorf("a file in the folder of %s cannot be made: %w", path, of.Err)
		}
		return err
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(content)
	if err := errors.Join(err, temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if over {
		return os.Rename(temporary.Name(), path)
	}
	// A link is not made over a file that came into being meanwhile. Some file
	// systems have no links.
	err = os.Link(temporary.Name(), path)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is there already: give another name with --out, or --force", path)
	}
	return os.Rename(temporary.Name(), path)
}

// maxInput is over what any reader of a format takes.
const maxInput = 4 << 20

// readInput reads a file with keys, certificates or a token; - is standard input.
func readInput(path string) ([]byte, error) { return readBounded(path, maxInput) }

// readBounded reads a file, or standard input for -, of n bytes at most.
func readBounded(path string, n int64) ([]byte, error) {
	in := os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := console.Interruptible(func() ([]byte, error) { return io.ReadAll(io.LimitReader(in, n+1)) })
	if err == nil && int64(len(data)) > n {
		err = fmt.Errorf("%s: over %d bytes are too many", path, n)
	}
	return data, err
}
