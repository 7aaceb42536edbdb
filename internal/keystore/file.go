package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// File is a key in files, which are looked at each time it is asked for and
// read again when they have changed. It is safe for concurrent use.
type File struct {
	paths []string
	load  func(files [][]byte) (*Key, error) // holds the password, where no print reaches it

	mu        sync.Mutex
	seen      []os.FileInfo // of the files as they were last read
	last      *Key          // the last that loaded
	err       error         // why what was read last did not load
	retryLoad bool          // whether it may load later, unchanged
}

// NewFile returns the key that load makes of the content of the files.
func NewFile(load func(files [][]byte) (*Key, error), paths ...string) *File {
	return &File{paths: paths, load: load}
}

// StoreFile returns the key in a keystore, PKCS#12 or PEM. The password may be
// in a file of its own, whose line break at the end does not count. An id that
// is not empty is the key's.
func StoreFile(path, password, passwordPath, id string) *File {
	paths := []string{path}
	if passwordPath != "" {
		paths = append(paths, passwordPath)
	}
	return NewFile(func(files [][]byte) (*Key, error) {
		password := password
		if passwordPath != "" {
			password = strings.TrimRight(string(files[1]), "\r\n")
		}
		var (
			key *Key
			err error
		)
		if bytes.Contains(files[0], []byte("PRIVATE KEY-----")) {
			key, err = PEM(files[0])
		} else {
			key, err = PKCS12(files[0], password)
		}
		if err != nil || id == "" {
			return key, err
		}
		return key.WithID(id), nil
	}, paths...)
}

// Key returns the key as the files have it. If what is new there does not load,
// it is the last that did, and log says so once.
func (f *File) Key(log *slog.Logger) (*Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	// Before the files are read: what is written meanwhile is seen next time.
	infos := f.stat()
	changed := !unchanged(f.seen, infos)
	if changed || f.retryLoad {
		f.read(infos, now)
		if f.err != nil && f.last != nil && changed {
			log.Warn("maskinporten: the changed credential file does not load; the last good credential stays in use",
				"file", strings.Join(f.paths, ", "), "error", f.err.Error())
		}
	}
	if f.err != nil && (f.last == nil || f.last.Usable(now) != nil) {
		return nil, fmt.Errorf("%s: %w", strings.Join(f.paths, ", "), f.err)
	}
	return f.last, nil
}

func (f *File) read(infos []os.FileInfo, now time.Time) {
	f.seen, f.retryLoad = infos, false
	files := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		if files[i], f.err = readFile(path); f.err != nil {
			f.retryLoad = true // permissions may be mended without a change to the file
			return
		}
	}
	key, err := f.load(files)
	if f.err = err; err == nil {
		f.last = key
		return
	}
	// A certificate may be put in place before it begins to be valid, and a
	// file that is being written may change once more within the clock's tick.
	f.retryLoad = errors.Is(err, ErrCertificateNotYetValid) || recentlyModified(infos, now)
}

// maxFile is over what any of the loaders takes, so that they say so.
const maxFile = 3 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// stat follows symbolic links, which is how Kubernetes replaces a secret. A
// file that is not there is nil.
func (f *File) stat() []os.FileInfo {
	infos := make([]os.FileInfo, len(f.paths))
	for i, path := range f.paths {
		if info, err := os.Stat(path); err == nil {
			infos[i] = info
		}
	}
	return infos
}

func unchanged(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] == nil || b[i] == nil {
			if a[i] != b[i] {
				return false
			}
			continue
		}
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}

// recentlyModified reports whether a file was changed just now.
func recentlyModified(infos []os.FileInfo, now time.Time) bool {
	for _, info := range infos {
		if info != nil && now.Sub(info.ModTime()).Abs() < 2*time.Second {
			return true
		}
	}
	return false
}
