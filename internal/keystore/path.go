package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/maskinporten-go/maskinporten/internal/p12"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// ErrPasswordFile is what an error wraps if the file with the password is at
// fault, not the keystore.
var ErrPasswordFile = errors.New("the password file")

// pathList is where a key is, as somebody has configured it: what should be a
// path may be the content of a key, or a password. It is not printed until it
// looks like a path.
type pathList struct {
	paths        []string
	data         []byte // in place of paths: the keystore itself
	split        bool   // the only path may be a folder, or a list
	password     string
	passwordPath string
}

// storeAt is a keystore in what may be a file, a list of files or a folder.
func storeAt(path, password, passwordPath string) pathList {
	return pathList{paths: []string{path}, split: true, password: password, passwordPath: passwordPath}
}

// storeIn is a keystore that is at hand.
func storeIn(data []byte, password, passwordPath string) pathList {
	return pathList{data: data, password: password, passwordPath: passwordPath}
}

// content reads and opens the keystore.
func (l pathList) content() (*Content, error) {
	files, err := l.read()
	if err != nil {
		return nil, err
	}
	return l.open(files)
}

// open opens the keystore in what read has returned.
func (l pathList) open(files [][]byte) (*Content, error) {
	password := l.password
	if l.passwordPath != "" {
		password = string(files[len(files)-1])
		files = files[:len(files)-1]
	}
	return open(password, files...)
}

// read returns the content of the files, that of the password's at the end.
func (l pathList) read() (files [][]byte, err error) {
	if l.data != nil {
		files = append(files, l.data)
	}
	for _, path := range l.expand() {
		data, err := readFile(path)
		if err != nil {
			return nil, l.explain(path, err)
		}
		files = append(files, data)
	}
	if l.passwordPath == "" {
		return files, nil
	}
	data, err := readFile(l.passwordPath)
	if err == nil {
		data = bytes.TrimRight(p12.DecodeText(data), "\r\n")
		if len(data) == 0 {
			err = errors.New("it is empty")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPasswordFile, l.explain(l.passwordPath, err))
	}
	return append(files, data), nil
}

// expand returns the files that a path stands for.
func (l pathList) expand() []string {
	if !l.split {
		return l.paths
	}
	path := l.paths[0]
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		files := []string{filepath.Join(path, "tls.key"), filepath.Join(path, "tls.crt")}
		if issuers := filepath.Join(path, "ca.crt"); exists(issuers) {
			files = append(files, issuers)
		}
		return files
	}
	if err != nil && strings.ContainsRune(path, os.PathListSeparator) && contentOf(path) == "" && !isURL(path) && !hasDrive(path) {
		return filepath.SplitList(path)
	}
	return l.paths
}

// maxFile is over what any of the loaders takes, so that they say so.
const maxFile = 3 << 20

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // follows links, which is how Kubernetes replaces a secret
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("it is a folder: name the files in it")
	case !info.Mode().IsRegular():
		return nil, errors.New("it is a pipe or a device: a file is needed, which can be read again when it changes")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// explain returns err without the path that package os put into it, and with
// what the path seems to be if it is none.
func (l pathList) explain(path string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	switch trimmed, what := strings.TrimSpace(path), contentOf(path); {
	case trimmed == "":
		return errors.New("the path is empty")
	case exists(path):
	case trimmed != path && (exists(trimmed) || looksLikePath(trimmed)):
		return fmt.Errorf("%q: %w: there is white space around the path", path, err)
	case what != "":
		return fmt.Errorf("%w: it looks like the content of a key, not a path; use %s", err, what)
	case isURL(path): // which may hold a password, too
		return fmt.Errorf("%w: it looks like a URL, not a path", err)
	case l.password != "" && path != l.passwordPath && exists(l.password):
		return fmt.Errorf("%w: path and password are the wrong way round", err)
	case !looksLikePath(path):
		return fmt.Errorf("%w: a text of %d characters that does not look like a path, and is not shown for it may be a password: give the path of a file", err, utf8.RuneCountInString(path))
	}
	return fmt.Errorf("%q: %w", path, err)
}

func isURL(path string) bool { return strings.Contains(path, "://") }

// hasDrive reports whether path begins with a drive, whose colon separates
// nothing where it was copied to. On Windows lists have semicolons.
func hasDrive(path string) bool {
	return os.PathListSeparator == ':' && len(path) > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/') && (path[0]|0x20 >= 'a' && path[0]|0x20 <= 'z')
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// String names the files of the key; what does not look like a path is not shown.
func (l pathList) String() string {
	var names []string
	for _, path := range l.paths {
		if Shown(path) {
			names = append(names, fmt.Sprintf("%q", path))
		} else {
			names = append(names, redact.Hidden)
		}
	}
	return strings.Join(names, ", ")
}

// Shown reports whether path may be printed: whatever stands where a path
// belongs may be a password.
func Shown(path string) bool { return looksLikePath(path) || exists(path) }

// KeyFiles returns the files of a path that [StoreFile] takes, without those
// that hold nothing but certificates.
func KeyFiles(path string) []string {
	files := storeAt(path, "", "").expand()
	if len(files) == 1 {
		return files
	}
	return slices.DeleteFunc(files, func(file string) bool {
		data, err := readFile(file)
		return err != nil || !isPEM(data)
	})
}

// contentOf says what to use for content that was given as a path; empty for
// what is none.
func contentOf(path string) string {
	trimmed := strings.TrimSpace(path)
	switch {
	case looksLikePEM([]byte(path)):
		return "MASKINPORTEN_CLIENT_PEM or LoadPEM"
	case strings.HasPrefix(trimmed, "{"):
		return "MASKINPORTEN_CLIENT_JWK or LoadJWK"
	case strings.HasPrefix(path, "\x30\x82") || strings.HasPrefix(path, "\x30\x80") || strings.ContainsRune(path, 0) || len(path) > 4096,
		redact.Secrets(trimmed) != trimmed && !strings.ContainsAny(trimmed, `.\`):
		return "MASKINPORTEN_KEYSTORE_BASE64 or LoadPKCS12"
	}
	return ""
}

// extensions are those of files with keys, certificates and passwords.
var extensions = map[string]bool{
	".p12": true, ".pfx": true, ".pem": true, ".key": true, ".crt": true, ".cer": true, ".der": true, ".p7b": true,
	".jwk": true, ".jwks": true, ".json": true, ".jks": true, ".txt": true, ".b64": true, ".pw": true, ".pass": true,
}

// looksLikePath reports whether path may be shown in an error though there is
// no such file: from the root, or with an extension.
func looksLikePath(path string) bool {
	if len(path) > 1024 || contentOf(path) != "" || redact.Secrets(path) != path ||
		strings.ContainsFunc(strings.TrimSpace(path), func(c rune) bool { return !unicode.IsPrint(c) }) {
		return false
	}
	slashed := filepath.ToSlash(strings.TrimSpace(path))
	return filepath.IsAbs(strings.TrimSpace(path)) || strings.HasPrefix(slashed, "./") || strings.HasPrefix(slashed, "../") || strings.HasPrefix(slashed, "~/") ||
		extensions[strings.ToLower(filepath.Ext(slashed))]
}
