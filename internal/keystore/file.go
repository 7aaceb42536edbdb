package maskinporten

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// PKCS12File is a PKCS#12 file that is read again when it has changed, at the
// next signing: a renewed certificate needs no restart, whether the file was
// written over, replaced or is a Kubernetes secret. If a new file does not
// load, the last good credential stays in use, and the log says so once.
func PKCS12File(path, password string) CredentialSource { return keystoreFile(path, password, "", "") }

// PKCS12PasswordFile is [PKCS12File] with the password in a file of its own,
// which is read together with it. A line break at its end does not count.
func PKCS12PasswordFile(path, passwordPath string) CredentialSource {
	return keystoreFile(path, "", passwordPath, "")
}

// PEMFile is one or several PEM files that together hold a key and its
// certificates, read again when one of them changes, as with [PKCS12File].
func PEMFile(paths ...string) CredentialSource {
	return &fileSource{paths: paths, load: func(files [][]byte) (*Credential, error) { return LoadPEM(files...) }}
}

// JWKFile is a file that holds a private JWK, read again when it changes, as
// with [PKCS12File].
func JWKFile(path string) CredentialSource {
	return &fileSource{paths: []string{path}, load: func(files [][]byte) (*Credential, error) { return LoadJWK(files[0]) }}
}

// keystoreFile is a keystore, PKCS#12 or PEM, and perhaps its password's file.
func keystoreFile(path, password, passwordPath, kid string) CredentialSource {
	paths := []string{path}
	if passwordPath != "" {
		paths = append(paths, passwordPath)
	}
	return &fileSource{paths: paths, load: func(files [][]byte) (*Credential, error) {
		password := password
		if passwordPath != "" {
			password = strings.TrimRight(string(files[1]), "\r\n")
		}
		var (
			cred *Credential
			err  error
		)
		if bytes.Contains(files[0], []byte("PRIVATE KEY-----")) {
			cred, err = LoadPEM(files[0])
		} else {
			cred, err = LoadPKCS12(files[0], password)
		}
		if err != nil || kid == "" {
			return cred, err
		}
		return cred.WithKeyID(kid), nil
	}}
}

// fileSource loads a credential from files and looks at them each time it is
// asked. A password stands in load, where no print reaches it.
type fileSource struct {
	paths []string
	load  func(files [][]byte) (*Credential, error)

	mu   sync.Mutex
	seen []os.FileInfo // of the files as they were last read
	last *Credential   // the last that loaded
	err  error         // why what was read last did not load
	late bool          // whether it may load later, unchanged
}

func (s *fileSource) Credential(ctx context.Context) (*Credential, error) {
	return s.credential(ctx, slog.New(slog.DiscardHandler))
}

func (s *fileSource) credential(_ context.Context, log *slog.Logger) (*Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	// Before the files are read: what is written meanwhile is seen next time.
	infos := s.stat()
	changed := !unchanged(s.seen, infos)
	if changed || s.late {
		s.read(infos, now)
		if s.err != nil && s.last != nil && changed {
			log.Warn("maskinporten: the changed credential file does not load; the last good credential stays in use",
				"file", strings.Join(s.paths, ", "), "error", s.err.Error())
		}
	}
	if s.err != nil && (s.last == nil || s.last.usable(now) != nil) {
		return nil, fmt.Errorf("%s: %w", strings.Join(s.paths, ", "), s.err)
	}
	return s.last, nil
}

func (s *fileSource) read(infos []os.FileInfo, now time.Time) {
	s.seen, s.late = infos, false
	files := make([][]byte, len(s.paths))
	for i, path := range s.paths {
		if files[i], s.err = readFile(path); s.err != nil {
			s.late = true // permissions may be mended without a change to the file
			return
		}
	}
	cred, err := s.load(files)
	if s.err = err; err == nil {
		s.last = cred
		return
	}
	// A certificate may be put in place before it begins to be valid, and a
	// file that is being written may change once more within the clock's tick.
	s.late = errors.Is(err, ErrCertificateNotYetValid) || written(infos, now)
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
func (s *fileSource) stat() []os.FileInfo {
	infos := make([]os.FileInfo, len(s.paths))
	for i, path := range s.paths {
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

// written tells of a file that was changed just now.
func written(infos []os.FileInfo, now time.Time) bool {
	for _, info := range infos {
		if info != nil && now.Sub(info.ModTime()).Abs() < 2*time.Second {
			return true
		}
	}
	return false
}
