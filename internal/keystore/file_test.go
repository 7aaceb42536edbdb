package keystore

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// secretDir is a directory with a keystore in it, as an operator keeps one.
type secretDir struct {
	t    *testing.T
	path string
	log  bytes.Buffer
}

func newSecretDir(t *testing.T) *secretDir { return &secretDir{t: t, path: t.TempDir()} }

func (d *secretDir) file(name string) string { return filepath.Join(d.path, name) }

// write writes over the file, or makes it. The time is set, for two writes within the file system's resolution would look
// like one, and long ago, so that the file does not look half written.
func (d *secretDir) write(name string, content []byte, at time.Time) {
	d.t.Helper()
	require.NoError(d.t, os.WriteFile(d.file(name), content, 0o600))
	require.NoError(d.t, os.Chtimes(d.file(name), at, at))
}

// subject is whose key the file has, or its error.
func (d *secretDir) subject(f *File) string {
	key, err := f.Key(context.Background(), slog.New(slog.NewTextHandler(&d.log, nil)))
	if err != nil {
		return err.Error()
	}
	return key.Chain[0].Subject.CommonName
}

func (d *secretDir) warnings() int {
	return strings.Count(d.log.String(), "the changed credential file does not load")
}

const (
	ours   = "MASKINPORTEN FOR GO"
	theirs = "MASKINPORTEN FOR GO 2"
)

var quiet = slog.New(slog.DiscardHandler)

func loadPEM(files [][]byte) (*Key, error) { return PEM("", files...) }

var longAgo = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// bundle is a PEM file with a key and its chain.
func bundle(t testing.TB, key, leaf string) []byte {
	return bytes.Join([][]byte{stored(t, "pki/"+key+".pem"), stored(t, "pki/"+leaf+".pem"), stored(t, "pki/ca.pem")}, nil)
}

func TestFileWrittenOver(t *testing.T) {
	d := newSecretDir(t)
	d.write("key.pem", bundle(t, "key", "leaf"), longAgo)
	source := NewFile(loadPEM, d.file("key.pem"))
	assert.Equal(t, ours, d.subject(source))
	d.write("key.pem", bundle(t, "other", "otherleaf"), longAgo.Add(time.Second))
	assert.Equal(t, theirs, d.subject(source))
}

// TestFileReplaced: a file renamed over another may have the same size and time.
func TestFileReplaced(t *testing.T) {
	d := newSecretDir(t)
	first, next := bundle(t, "key", "leaf"), bundle(t, "other", "otherleaf")
	size := max(len(first), len(next))
	pad := func(b []byte) []byte { return append(b, bytes.Repeat([]byte{'\n'}, size-len(b))...) }
	d.write("key.pem", pad(first), longAgo)
	source := NewFile(loadPEM, d.file("key.pem"))
	assert.Equal(t, ours, d.subject(source))
	d.write("new.pem", pad(next), longAgo)
	require.NoError(t, os.Rename(d.file("new.pem"), d.file("key.pem")))
	assert.Equal(t, theirs, d.subject(source))
}

// TestKubernetesSecret: the mount is a link to a link, and the one in the middle is replaced.
func TestKubernetesSecret(t *testing.T) {
	d := newSecretDir(t)
	version := func(name, key, leaf string) {
		require.NoError(t, os.Mkdir(d.file(name), 0o700))
		d.write(name+"/tls.key", stored(t, "pki/"+key+".pem"), longAgo)
		d.write(name+"/tls.crt", append(stored(t, "pki/"+leaf+".pem"), stored(t, "pki/ca.pem")...), longAgo)
		require.NoError(t, os.Symlink(name, d.file("..data_tmp")))
		require.NoError(t, os.Rename(d.file("..data_tmp"), d.file("..data")))
	}
	version("..2026_01", "key", "leaf")
	for _, name := range []string{"tls.key", "tls.crt"} {
		require.NoError(t, os.Symlink("..data/"+name, d.file(name)))
	}
	source := NewFile(loadPEM, d.file("tls.key"), d.file("tls.crt"))
	assert.Equal(t, ours, d.subject(source))
	version("..2026_02", "other", "otherleaf")
	require.NoError(t, os.RemoveAll(d.file("..2026_01")))
	assert.Equal(t, theirs, d.subject(source))
	assert.Zero(t, d.warnings())
}

func TestPasswordFile(t *testing.T) {
	d := newSecretDir(t)
	d.write("key.p12", stored(t, "openssl-norsk.p12"), longAgo)
	d.write("password", []byte("blåbærsyltetøy\r\n"), longAgo)
	source := StoreFile(d.file("key.p12"), "", d.file("password"), "")
	assert.Equal(t, ours, d.subject(source))

	// The new keystore comes first and does not open, until its password comes.
	d.write("key.p12", stored(t, "openssl-legacy.p12"), longAgo.Add(time.Second))
	assert.Equal(t, ours, d.subject(source))
	assert.Equal(t, 1, d.warnings())
	d.write("password", []byte("changeit"), longAgo.Add(time.Second))
	before, err := source.Key(context.Background(), quiet)
	require.NoError(t, err)
	assert.Len(t, before.Chain, 3)
	assert.Equal(t, 1, d.warnings())
}

// TestBadNewFile: the last good credential stays, and the log says so once for each change.
func TestBadNewFile(t *testing.T) {
	d := newSecretDir(t)
	d.write("key.p12", stored(t, "openssl-modern.p12"), longAgo)
	source := StoreFile(d.file("key.p12"), "changeit", "", "")
	assert.Equal(t, ours, d.subject(source))
	for i, bad := range []string{"openssl-rc4-128.p12", "openssl-expired.p12", "pki/root.pem"} {
		d.write("key.p12", stored(t, bad), longAgo.Add(time.Duration(i+1)*time.Second))
		for range 3 {
			assert.Equal(t, ours, d.subject(source))
		}
		assert.Equal(t, i+1, d.warnings(), bad)
	}
	require.NoError(t, os.Remove(d.file("key.p12")))
	for range 3 {
		assert.Equal(t, ours, d.subject(source))
	}
	assert.Equal(t, 4, d.warnings())
	assert.NotContains(t, d.log.String(), "changeit")
	d.write("key.p12", stored(t, "openssl-legacy.p12"), longAgo)
	assert.Equal(t, ours, d.subject(source))
	assert.Equal(t, 4, d.warnings())
}

// TestNoFileYet: a secret may be mounted after the program has started.
func TestNoFileYet(t *testing.T) {
	d := newSecretDir(t)
	source := NewFile(func(files [][]byte) (*Key, error) { return JWK(files[0]) }, d.file("jwk.json"))
	for range 2 {
		_, err := source.Key(context.Background(), quiet)
		require.ErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorContains(t, err, strconv.Quote(d.file("jwk.json")))
	}
	d.write("jwk.json", []byte(privateJWK(t, nil)), longAgo)
	key, err := source.Key(context.Background(), quiet)
	require.NoError(t, err)
	assert.Equal(t, "min-nøkkel", key.ID)
	assert.Zero(t, d.warnings())
}

// TestCertificateInPlaceEarly: a certificate that is not valid yet is taken when it begins to be, though its file is the same.
func TestCertificateInPlaceEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSecretDir(t)
		d.write("key.p12", stored(t, "openssl-modern.p12"), longAgo)
		source := StoreFile(d.file("key.p12"), "changeit", "", "")
		old, err := source.Key(context.Background(), quiet)
		require.NoError(t, err)
		d.write("key.p12", stored(t, "openssl-future.p12"), longAgo.Add(time.Second))
		for range 3 {
			assert.Equal(t, ours, d.subject(source))
		}
		assert.Equal(t, 1, d.warnings())
		key, err := source.Key(context.Background(), quiet)
		require.NoError(t, err)
		assert.Same(t, old, key)

		time.Sleep(time.Until(time.Date(2049, 6, 1, 0, 0, 0, 0, time.UTC)))
		key, err = source.Key(context.Background(), quiet)
		require.NoError(t, err)
		assert.NotSame(t, old, key)
		assert.Equal(t, certificates(t, "future")[0], key.Chain[0])
		assert.Equal(t, 1, d.warnings())
	})
}

// TestLastGoodExpired: then what is wrong with the new file is what there is to say.
func TestLastGoodExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSecretDir(t)
		d.write("key.p12", stored(t, "openssl-expired.p12"), longAgo) // expires in 2002; it is 2000
		source := StoreFile(d.file("key.p12"), "changeit", "", "")
		assert.Equal(t, ours, d.subject(source))
		d.write("key.p12", []byte("renewed?"), longAgo.Add(time.Second))
		assert.Equal(t, ours, d.subject(source))
		time.Sleep(3 * 365 * 24 * time.Hour)
		_, err := source.Key(context.Background(), quiet)
		assert.ErrorIs(t, err, ErrNotKeystore)
	})
}

// TestFileBeingWritten: a file read half, and finished within the clock's tick with the size it is to have, is read again.
func TestFileBeingWritten(t *testing.T) {
	d := newSecretDir(t)
	whole := bundle(t, "key", "leaf")
	half := append([]byte(nil), whole...)
	clear(half[len(half)/2:])
	now := time.Now()
	d.write("key.pem", half, now)
	source := NewFile(loadPEM, d.file("key.pem"))
	_, err := source.Key(context.Background(), quiet)
	require.Error(t, err)
	d.write("key.pem", whole, now)
	assert.Equal(t, ours, d.subject(source))
}

func TestUnchangedFileIsNotReadAgain(t *testing.T) {
	d := newSecretDir(t)
	d.write("key", []byte("x"), longAgo)
	loads := 0
	for _, result := range []error{nil, errors.New("bad")} {
		source := NewFile(func([][]byte) (*Key, error) {
			loads++
			return &Key{}, result
		}, d.file("key"))
		for range 5 {
			_, err := source.Key(context.Background(), quiet)
			assert.ErrorIs(t, err, result)
		}
	}
	assert.Equal(t, 2, loads)
}

// TestReplacedWhileInUse: whoever asks gets one credential or the other.
func TestReplacedWhileInUse(t *testing.T) {
	d := newSecretDir(t)
	d.write("key.pem", bundle(t, "key", "leaf"), longAgo)
	source := NewFile(loadPEM, d.file("key.pem"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				key, err := source.Key(context.Background(), quiet)
				if assert.NoError(t, err) {
					assert.Contains(t, []string{ours, theirs}, key.Chain[0].Subject.CommonName)
				}
			}
		})
	}
	for i := range 20 {
		key, leaf := "key", "leaf"
		if i%2 == 0 {
			key, leaf = "other", "otherleaf"
		}
		d.write("next.pem", bundle(t, key, leaf), longAgo)
		require.NoError(t, os.Rename(d.file("next.pem"), d.file("key.pem")))
	}
	wg.Wait()
}

// TestSameSizeAndTime: a file written over in place is noticed by what is in it.
func TestSameSizeAndTime(t *testing.T) {
	d := newSecretDir(t)
	first, next := bundle(t, "key", "leaf"), bundle(t, "other", "otherleaf")
	size := max(len(first), len(next))
	pad := func(b []byte) []byte { return append(b, bytes.Repeat([]byte{'\n'}, size-len(b))...) }
	d.write("key.pem", pad(first), longAgo)
	source := NewFile(loadPEM, d.file("key.pem"))
	assert.Equal(t, ours, d.subject(source))
	d.write("key.pem", pad(next), longAgo)
	assert.Equal(t, theirs, d.subject(source))
}

// gate makes the files of a source hang until it is opened.
type gate struct {
	shut  atomic.Pointer[chan struct{}]
	reads atomic.Int32
}

func newGate(source *File) *gate {
	g, read := new(gate), source.read
	source.read = func() ([][]byte, error) {
		g.reads.Add(1)
		if shut := g.shut.Load(); shut != nil {
			<-*shut
		}
		return read()
	}
	g.close()
	return g
}

func (g *gate) close() {
	g.reads.Store(0)
	shut := make(chan struct{})
	g.shut.Store(&shut)
}

// around lets new reads pass; those that hang go on hanging until wake is called.
func (g *gate) around() (wake func()) {
	shut := g.shut.Swap(nil)
	return func() { close(*shut) }
}

// TestFilesThatHang: a mount that does not answer obeys the caller's context, costs no token while there is a key, leaves
// no crowd of goroutines, and is seen again when it comes back.
func TestFilesThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSecretDir(t)
		d.write("key.pem", bundle(t, "key", "leaf"), longAgo)
		source := NewFile(loadPEM, d.file("key.pem"))
		gate := newGate(source)

		// Nothing has been read: the caller's context is obeyed, and without one there is an end, too.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := source.Key(ctx, quiet)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		_, err = source.Key(context.Background(), quiet)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, "reading takes too long")
		assert.Equal(t, time.Second+maxWait, time.Since(start))
		for range 20 {
			_, err = source.Key(context.Background(), quiet)
			require.Error(t, err)
		}
		assert.LessOrEqual(t, gate.reads.Load(), int32(maxHanging+1))

		gate.around()()
		synctest.Wait()
		assert.Equal(t, ours, d.subject(source))

		// There is a key: it is used soon, and the log says so once.
		gate.close()
		start = time.Now()
		assert.Equal(t, ours, d.subject(source))
		assert.Equal(t, maxWaitWithKey, time.Since(start))
		assert.Equal(t, 1, d.warnings())
		for range 20 {
			assert.Equal(t, ours, d.subject(source))
		}
		assert.LessOrEqual(t, gate.reads.Load(), int32(maxHanging+1))

		d.write("key.pem", bundle(t, "other", "otherleaf"), longAgo)
		gate.around()()
		synctest.Wait()
		assert.Equal(t, theirs, d.subject(source))
	})
}

// TestReplacedWhileOneHangs: a good file in place of one that hangs is seen, though the read of that never returns.
func TestReplacedWhileOneHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSecretDir(t)
		d.write("key.pem", bundle(t, "key", "leaf"), longAgo)
		source := NewFile(loadPEM, d.file("key.pem"))
		gate := newGate(source)
		_, err := source.Key(t.Context(), quiet)
		require.Error(t, err)
		wake := gate.around()
		assert.Equal(t, ours, d.subject(source))
		wake()
	})
}
