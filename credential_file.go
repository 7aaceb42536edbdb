package maskinporten

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// PKCS12File is a PKCS#12 file that is read again when it changes, at the next
// signing: a renewed certificate needs no restart. If a new file does not
// load, the last good credential stays in use.
func PKCS12File(path, password string) CredentialSource {
	return &fileSource{paths: []string{path}, load: func(files [][]byte) (*Credential, error) {
		return LoadPKCS12(files[0], password)
	}}
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

// keystoreFile is the file that ConfigFromEnv names: PKCS#12 or PEM.
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
	seen string // the state of the files when they were last read
	last *Credential
	err  error
}

func (s *fileSource) Credential(ctx context.Context) (*Credential, error) {
	return s.credential(ctx, slog.New(slog.DiscardHandler))
}

func (s *fileSource) credential(_ context.Context, log *slog.Logger) (*Credential, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.state()
	if state == s.seen {
		return s.last, s.errIfNone()
	}
	files := make([][]byte, len(s.paths))
	var (
		cred *Credential
		err  error
	)
	for i, path := range s.paths {
		if files[i], err = os.ReadFile(path); err != nil {
			break
		}
	}
	if err == nil {
		cred, err = s.load(files)
	}
	s.seen, s.err = state, err
	if err == nil {
		s.last = cred
	} else if s.last != nil {
		log.Warn("maskinporten: the changed credential file does not load; the last good one stays in use", "error", err.Error())
	}
	return s.last, s.errIfNone()
}

func (s *fileSource) errIfNone() error {
	if s.last != nil {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(s.paths, ", "), s.err)
}

func (s *fileSource) state() string {
	var b strings.Builder
	for _, path := range s.paths {
		info, err := os.Stat(path)
		if err != nil {
			fmt.Fprintf(&b, "%v;", err)
			continue
		}
		fmt.Fprintf(&b, "%d %d;", info.ModTime().UnixNano(), info.Size())
	}
	return b.String()
}
