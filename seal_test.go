package maskinporten

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const storeTestIssuer = "https://test.maskinporten.no/"

func storeTestKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "store", "key.pem"))
	require.NoError(t, err)
	block, _ := pem.Decode(data)
	key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
	require.NoError(t, err)
	return key
}

func storeTestKeys(t testing.TB) *storeKeys {
	t.Helper()
	keys, err := newStoreKeys(storeTestKey(t), storeTestIssuer, "client")
	require.NoError(t, err)
	return keys
}

var (
	storeTestRequest = Request{Scope: "a:one", ConsumerOrg: "991825827"}
	storeTestToken   = storedToken{Access: "the-token", Scope: "a:one", Lifetime: 120_000, End: 1_800_000_000_000}
	storeTestSealed  = filepath.Join("testdata", "golden", "store", "sealed.txt")
)

// What one release has put into a store, the next one reads.
func TestStoreFormat(t *testing.T) {
	keys := storeTestKeys(t)
	name := keys.name(&storeTestRequest)
	golden(t, "store/name.txt", name+"\n")

	if *update {
		sealed, err := keys.seal(name, storeTestToken)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(storeTestSealed, []byte(base64.StdEncoding.EncodeToString(sealed)+"\n"), 0o644))
	}
	got, ok := keys.open(name, readSealed(t))
	require.True(t, ok)
	require.Equal(t, storeTestToken, got)
}

func readSealed(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile(storeTestSealed)
	require.NoError(t, err)
	sealed, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return sealed
}

func TestStoreSeal(t *testing.T) {
	keys := storeTestKeys(t)
	name := keys.name(&storeTestRequest)
	token := storeTestToken
	sealed, err := keys.seal(name, token)
	require.NoError(t, err)
	again, err := keys.seal(name, token)
	require.NoError(t, err)
	require.NotEqual(t, sealed, again, "a nonce is used once")
	require.NotContains(t, string(sealed), "the-token")

	other := keys.name(&Request{Scope: "a:one"})
	another := func(issuer, clientID string) *storeKeys {
		k, err := newStoreKeys(storeTestKey(t), issuer, clientID)
		require.NoError(t, err)
		return k
	}
	changed := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(sealed)) }
	for reason, c := range map[string]struct {
		keys   *storeKeys
		name   string
		sealed []byte
		ok     bool
	}{
		"as it was sealed":             {keys, name, sealed, true},
		"by another process":           {another(storeTestIssuer, "client"), name, sealed, true},
		"moved to another name":        {keys, other, sealed, false},
		"of another client":            {another(storeTestIssuer, "client2"), name, sealed, false},
		"of another environment":       {another("https://maskinporten.no/", "client"), name, sealed, false},
		"client and issuer run over":   {another(storeTestIssuer+"c", "lient"), name, sealed, false},
		"nothing":                      {keys, name, nil, false},
		"the version alone":            {keys, name, sealed[:1], false},
		"less than a nonce":            {keys, name, sealed[:10], false},
		"less than a tag":              {keys, name, sealed[:20], false},
		"cut":                          {keys, name, sealed[:len(sealed)-1], false},
		"followed by more":             {keys, name, changed(func(b []byte) []byte { return append(b, 0) }), false},
		"of another version":           {keys, name, changed(func(b []byte) []byte { b[0]++; return b }), false},
		"a bit of the nonce flipped":   {keys, name, changed(func(b []byte) []byte { b[5] ^= 1; return b }), false},
		"a bit of the text flipped":    {keys, name, changed(func(b []byte) []byte { b[20] ^= 128; return b }), false},
		"larger than any answer":       {keys, name, append(bytes.Clone(sealed), make([]byte, 3<<20)...), false},
		"the token itself, not sealed": {keys, name, []byte("\x01the-token"), false},
	} {
		got, ok := c.keys.open(c.name, c.sealed)
		require.Equal(t, c.ok, ok, reason)
		if ok {
			require.Equal(t, token, got, reason)
		} else {
			require.Zero(t, got, reason)
		}
	}

	for reason, bad := range map[string]storedToken{
		"no token":            {Lifetime: 1000, End: token.End},
		"a token with a line": {Access: "a\r\nb", Lifetime: 1000, End: token.End},
		"no lifetime":         {Access: "a", End: token.End},
		"a negative one":      {Access: "a", Lifetime: -1, End: token.End},
		"more than a day":     {Access: "a", Lifetime: 1 << 62, End: token.End},
	} {
		sealed, err := keys.seal(name, bad)
		require.NoError(t, err, reason)
		_, ok := keys.open(name, sealed)
		require.False(t, ok, reason)
	}
}

// A field that is left out of the name would give one customer's token to
// another.
func TestStoreNameHoldsTheWholeRequest(t *testing.T) {
	keys := storeTestKeys(t)
	seen := map[string]string{keys.name(&Request{}): "nothing"}
	check := func(r Request, what string) {
		name := keys.name(&r)
		require.Regexp(t, `^[A-Za-z0-9_-]{43}$`, name)
		require.Empty(t, seen[name], what)
		seen[name] = what
	}
	var walk func(v reflect.Value, r *Request, path string)
	walk = func(v reflect.Value, r *Request, path string) {
		for i := range v.NumField() {
			field, path := v.Field(i), path+"."+v.Type().Field(i).Name
			if field.Kind() == reflect.Struct {
				walk(field, r, path)
				continue
			}
			field.SetString("x")
			check(*r, path)
			field.SetString("")
		}
	}
	var r Request
	walk(reflect.ValueOf(&r).Elem(), &r, "Request")
	check(Request{Scope: "a", ConsumerOrg: "b"}, "two fields")
	check(Request{Scope: "ab"}, "one, of both their texts")
	check(Request{Scope: "a", Resource: "b"}, "two others")
}

type storeTestSigner struct {
	public crypto.PublicKey
	sign   func(digest []byte) ([]byte, error)
}

func (s storeTestSigner) Public() crypto.PublicKey { return s.public }

func (s storeTestSigner) Sign(_ io.Reader, digest []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.sign(digest)
}

// A secret must not be made of what anybody could guess.
func TestStoreKeysNeedAGoodSignature(t *testing.T) {
	key := storeTestKey(t)
	for reason, sign := range map[string]func([]byte) ([]byte, error){
		"an empty signature": func([]byte) ([]byte, error) { return nil, nil },
		"zeros":              func([]byte) ([]byte, error) { return make([]byte, 256), nil },
		"of something else":  func(d []byte) ([]byte, error) { return key.Sign(nil, append(d[1:], 0), crypto.SHA256) },
		"PSS":                func(d []byte) ([]byte, error) { return key.Sign(rand.Reader, d, &rsa.PSSOptions{Hash: crypto.SHA256}) },
		"an error":           func([]byte) ([]byte, error) { return nil, errors.New("no") },
	} {
		_, err := newStoreKeys(storeTestSigner{key.Public(), sign}, storeTestIssuer, "client")
		require.Error(t, err, reason)
	}
}

// What is signed for the store is no JWS, and no JWS is what is signed for it.
func TestStoreSignsNoJWS(t *testing.T) {
	label, _, _ := strings.Cut(storeLabel, "\x00")
	require.Contains(t, label, " ")
	require.True(t, strings.HasSuffix(storeLabel, "\x00"))
	require.NotRegexp(t, `^[A-Za-z0-9_.-]*$`, label)
}

func TestStoredTokenLeft(t *testing.T) {
	now := time.UnixMilli(1_800_000_000_000)
	for reason, c := range map[string]struct {
		byStore, lifetime, end, want time.Duration
	}{
		"all agree":                     {time.Minute, 2 * time.Minute, time.Minute, time.Minute},
		"the store says less":           {time.Second, time.Minute, time.Minute, time.Second},
		"the store never lets it go":    {time.Hour, 2 * time.Minute, time.Minute, time.Minute},
		"our clock is ten minutes late": {time.Hour, 2 * time.Minute, 11 * time.Minute, 2 * time.Minute},
		"replayed from an hour ago":     {time.Hour, 2 * time.Minute, -time.Hour, -time.Hour},
		"the store says nothing":        {0, time.Minute, time.Minute, 0},
		"the store says no end (-1)":    {-1, time.Minute, time.Minute, -1},
	} {
		stored := storedToken{Lifetime: c.lifetime.Milliseconds(), End: now.Add(c.end).UnixMilli()}
		require.Equal(t, c.want, stored.left(c.byStore, now), reason)
	}
}

func FuzzStoreOpen(f *testing.F) {
	keys := storeTestKeys(f)
	name := keys.name(&storeTestRequest)
	sealed := readSealed(f) // the same in each process
	f.Add(sealed)
	f.Add(sealed[:13])
	f.Add([]byte{storeVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := keys.open(name, b); ok && !bytes.Equal(b, sealed) {
			t.Fatal("opened what was not sealed")
		}
	})
}

func newStoreTestGuard(log io.Writer) *storeGuard {
	return &storeGuard{name: "the token store", timeout: storeTimeout, log: slog.New(slog.NewTextHandler(log, nil))}
}

func TestStoreGuard(t *testing.T) {
	errBroken := errors.New("broken")
	for reason, c := range map[string]struct {
		operation func(context.Context) (int, error)
		want      int
		err       error  // what it is, if it is one that is known
		text      string // or what it says
		took      time.Duration
		paused    bool
	}{
		"an answer":            {func(context.Context) (int, error) { return 7, nil }, 7, nil, "", 0, false},
		"a miss":               {func(context.Context) (int, error) { return 0, fmt.Errorf("x: %w", ErrStoreMiss) }, 0, ErrStoreMiss, "", 0, false},
		"a failure":            {func(context.Context) (int, error) { return 0, errBroken }, 0, errBroken, "", 0, true},
		"a panic":              {func(context.Context) (int, error) { panic("a secret") }, 0, nil, "it panicked with a string", 0, true},
		"a goroutine's end":    {func(context.Context) (int, error) { runtime.Goexit(); return 0, nil }, 0, nil, "it ended the goroutine it was called on", 0, true},
		"slow, with a context": {func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }, 0, nil, "", storeTimeout, true},
		"slow, without one":    {func(context.Context) (int, error) { time.Sleep(time.Hour); return 7, nil }, 0, errStoreTimeout, "", storeTimeout, true},
		"nearly too slow":      {func(context.Context) (int, error) { time.Sleep(storeTimeout - 1); return 7, nil }, 7, nil, "", storeTimeout - 1, false},
	} {
		t.Run(reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				g := newStoreTestGuard(&log)
				start := time.Now()
				got, err := askStore(t.Context(), g, c.operation)
				require.Equal(t, c.took, time.Since(start))
				require.Equal(t, c.want, got)
				if c.text != "" {
					require.EqualError(t, err, c.text)
				} else if c.err != nil {
					require.ErrorIs(t, err, c.err)
				}
				_, err = askStore(t.Context(), g, func(context.Context) (int, error) { return 0, nil })
				require.Equal(t, c.paused, errors.Is(err, errStoreAway))
				require.Equal(t, c.paused, strings.Contains(log.String(), "WARN"), log.String())
				require.NotContains(t, log.String(), "a secret")
				time.Sleep(time.Hour) // until what hangs has returned
			})
		})
	}
}

// A store that hangs holds one goroutine, however many want something of it.
func TestStoreGuardLeavesOneHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newStoreTestGuard(io.Discard)
		release := make(chan struct{})
		var hanging atomic.Int64
		hang := func(context.Context) (int, error) {
			hanging.Add(1)
			defer hanging.Add(-1)
			<-release
			return 0, nil
		}
		for range 5 {
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					start := time.Now()
					_, err := askStore(t.Context(), g, hang)
					require.Error(t, err)
					require.LessOrEqual(t, time.Since(start), storeTimeout)
				})
			}
			all.Wait()
			require.EqualValues(t, 1, hanging.Load())
			time.Sleep(time.Minute)
		}
		close(release)
		synctest.Wait()
		got, err := askStore(t.Context(), g, func(context.Context) (int, error) { return 7, nil })
		require.NoError(t, err, "it came back")
		require.Equal(t, 7, got)
	})
}

func TestStoreGuardLetsManyThroughOnceItAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newStoreTestGuard(io.Discard)
		start := time.Now()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				_, err := askStore(t.Context(), g, func(context.Context) (int, error) { time.Sleep(10 * time.Millisecond); return 0, nil })
				require.NoError(t, err)
			})
		}
		all.Wait()
		require.Equal(t, 20*time.Millisecond, time.Since(start), "the first, then all others at once")
	})
}

func TestStoreGuardPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := newStoreTestGuard(&log)
		broken := true
		asked := 0
		operation := func(context.Context) (int, error) {
			asked++
			if broken {
				return 0, errors.New("broken")
			}
			return 7, nil
		}
		every := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				askStore(t.Context(), g, operation)
			}
		}
		every(100 * time.Millisecond)
		require.Equal(t, 1, asked)
		every(12700 * time.Millisecond) // 100 ms, 200, 400 … 6.4 s
		require.Equal(t, 8, asked)
		every(time.Minute)
		require.Equal(t, 14, asked, "every ten seconds")
		require.Equal(t, 1, strings.Count(log.String(), "level="), log.String())

		broken = false
		every(maxStorePause)
		require.Greater(t, asked, 15)
		require.Equal(t, 2, strings.Count(log.String(), "level="), log.String())
		broken = true
		asked = 0
		every(minStorePause)
		require.Equal(t, 1, asked, "the pause is short again")
		require.Equal(t, 2, strings.Count(log.String(), "level="), "a warning in ten minutes")
		broken = false
		every(time.Minute)
		require.Equal(t, 2, strings.Count(log.String(), "level="), "nor is the end of what was not warned of")
		broken = true
		time.Sleep(storeWarnings)
		every(minStorePause)
		require.Equal(t, 3, strings.Count(log.String(), "level="))
	})
}

// One operation that fails among many that do not is no reason to leave the
// store alone.
func TestStoreGuardBearsOneFailureAmongMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := newStoreTestGuard(&log)
		quick := func(context.Context) (int, error) { return 7, nil }
		askStore(t.Context(), g, quick)
		var all sync.WaitGroup
		all.Go(func() {
			_, err := askStore(t.Context(), g, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
			require.Error(t, err)
		})
		time.Sleep(50 * time.Millisecond)
		askStore(t.Context(), g, quick)
		all.Wait()
		synctest.Wait() // until what obeys its context has returned
		_, err := askStore(t.Context(), g, quick)
		require.NoError(t, err)
		require.Empty(t, log.String())
	})
}

// A caller or flight that ends says nothing about the store.
func TestStoreGuardForgivesTheFlightsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := newStoreTestGuard(&log)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := askStore(ctx, g, func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		_, err = askStore(t.Context(), g, func(context.Context) (int, error) { return 7, nil })
		require.NoError(t, err)
		require.Empty(t, log.String())
	})
}
