package keystore

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// How long a caller waits for files that are slow to read or load: shorter when
// there is a key to go on with, so that a mount that hangs costs no token.
const (
	maxWait        = 10 * time.Second
	maxWaitWithKey = 2 * time.Second
)

// maxHanging bounds the reads that are left behind because they hang.
const maxHanging = 3

// File is a key in files, which are read each time it is asked for: that is
// seldom, and cheaper than to find out whether it is needed. Only what has
// changed is loaded. It is safe for concurrent use.
//
// What could be secret, the password and a path that is none, stands in funcs,
// where no print reaches it.
type File struct {
	read func() ([][]byte, error)
	load func(files [][]byte) (*Key, error)
	name func() string // of the files, for errors and the log; nil if there are none

	mu      sync.Mutex
	turn    *turn // the read under way
	hanging int   // reads that have been left behind, and still hang
	warning error // not logged yet
	state
}

// state is what the files held when they were read last.
type state struct {
	seen      string // a fingerprint of it
	last      *Key   // the last that loaded
	err       error  // why what was read last did not load
	retryLoad bool   // whether it may load later, unchanged
}

// turn is one look at the files.
type turn struct {
	done  chan struct{}
	began time.Time
	late  bool // somebody has stopped waiting for it
	state
}

// NewFile returns the key that load makes of the content of the files.
func NewFile(load func(files [][]byte) (*Key, error), paths ...string) *File {
	return newFile(pathList{paths: paths}, load)
}

// StoreFile returns the key in a keystore: PKCS#12, PEM or JWK, told apart
// by what is in it. An existing path is taken whole; else it may be a list, separated
// as [os.PathListSeparator] says, of PEM files that belong together. A folder is
// one with the files tls.key and tls.crt. The password may be in a file of its
// own.
func StoreFile(path, password, passwordPath, id string) *File {
	return newStore(storeAt(path, password, passwordPath), id)
}

// StoreContent is StoreFile for a keystore that is at hand, perhaps in base64.
// Only the password may be in a file.
func StoreContent(data []byte, password, passwordPath, id string) *File {
	file := newStore(storeIn(data, password, passwordPath), id)
	file.name = nil
	return file
}

func newStore(list pathList, id string) *File {
	return newFile(list, func(files [][]byte) (*Key, error) {
		content, err := list.open(files)
		if err != nil {
			return nil, err
		}
		return content.Key(id, time.Now())
	})
}

func newFile(list pathList, load func(files [][]byte) (*Key, error)) *File {
	return &File{read: list.read, load: load, name: list.String}
}

// String names the files; empty if there are none. A path that may be a secret is hidden.
func (f *File) String() string {
	if f.name == nil {
		return ""
	}
	return f.name()
}

// Key returns the key as the files have it. If what is new there does not load,
// or hangs, it is the last that did, and log says so once.
func (f *File) Key(ctx context.Context, log *slog.Logger) (*Key, error) {
	now := time.Now()
	ctx, cancel := context.WithTimeout(ctx, f.patience(now))
	defer cancel()
	var found state
	for {
		t, own := f.take(now)
		select {
		case <-t.done:
		case <-ctx.Done():
			return f.without(ctx, t, now, log)
		}
		if own {
			found = t.state
			break
		}
	}
	f.tell(ctx, log)
	if found.err != nil && !found.last.good(now) {
		return nil, found.err
	}
	return found.last, nil
}

// Last returns the key that loaded last; nil if none has.
func (f *File) Last() *Key {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.last
}

func (f *File) patience(now time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last.good(now) {
		return maxWaitWithKey
	}
	return maxWait
}

// take returns the turn under way, or begins one, which is the caller's own.
// What was written before a call is seen by it: nobody shares a turn. One that
// hangs is left behind.
func (f *File) take(now time.Time) (t *turn, own bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn != nil {
		if !f.turn.late || f.hanging == maxHanging {
			return f.turn, false
		}
		f.hanging++
	}
	t = &turn{done: make(chan struct{}), began: now, state: f.state}
	f.turn = t
	go f.run(t)
	return t, true
}

// run looks at the files. It may hang, in a file system that does not answer.
func (f *File) run(t *turn) {
	defer close(t.done)
	before := t.state
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.turn != t {
			f.hanging--
			return
		}
		f.turn = nil
		f.state = t.state
		if t.err != nil && t.last != nil && t.seen != before.seen {
			f.warning = t.err
		}
	}()
	files, err := f.read()
	seen := fingerprint(files, err)
	if seen == t.seen && !t.retryLoad {
		return
	}
	t.seen, t.retryLoad = seen, false
	var key *Key
	if err == nil {
		if key, err = f.load(files); err != nil && f.name != nil {
			err = fmt.Errorf("%s: %w", f.name(), err)
		}
	}
	if t.err = err; err == nil {
		t.last = key
		return
	}
	// A certificate may be put in place before it begins to be valid.
	t.retryLoad = errors.Is(err, ErrCertificateNotYetValid)
}

// without returns the last good key to a caller for whom the files are too slow.
func (f *File) without(ctx context.Context, t *turn, now time.Time, log *slog.Logger) (*Key, error) {
	f.mu.Lock()
	if time.Since(t.began) >= maxWaitWithKey {
		if !t.late && f.last != nil {
			f.warning = fmt.Errorf("reading takes too long: %w", ctx.Err())
		}
		t.late = true
	}
	last := f.last
	f.mu.Unlock()
	f.tell(ctx, log)
	if !last.good(now) {
		if f.name == nil {
			return nil, fmt.Errorf("reading takes too long: %w", ctx.Err())
		}
		return nil, fmt.Errorf("%s: reading takes too long: %w", f.name(), ctx.Err())
	}
	return last, nil
}

// tell logs a warning that is pending, under no lock: a log may hang, too.
func (f *File) tell(ctx context.Context, log *slog.Logger) {
	f.mu.Lock()
	warning := f.warning
	f.warning = nil
	f.mu.Unlock()
	if warning != nil && f.name != nil {
		log.WarnContext(ctx, "maskinporten: the changed credential file does not load; the last good credential stays in use",
			"file", f.name(), "error", warning.Error())
	}
}

// good reports whether there is a key that may sign.
func (k *Key) good(now time.Time) bool { return k != nil && k.Usable(now) == nil }

// seed makes fingerprints useless to whoever sees one and guesses passwords.
var seed = maphash.MakeSeed()

func fingerprint(files [][]byte, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var seen strings.Builder
	seen.WriteString("read ") // also if there are none
	for _, file := range files {
		fmt.Fprintf(&seen, "%d:%x ", len(file), maphash.Bytes(seed, file))
	}
	return seen.String()
}
