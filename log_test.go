package maskinporten_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

// callerLog keeps what is logged, and for whom: as a handler does that adds
// trace ids.
type callerLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *callerLog) Enabled(context.Context, slog.Level) bool { return true }
func (l *callerLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *callerLog) WithGroup(string) slog.Handler            { return l }

func (l *callerLog) Handle(ctx context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	who, _ := ctx.Value(traceKey("caller")).(string)
	l.lines = append(l.lines, who+": "+r.Message)
	return nil
}

// What is logged on the way to a token is logged with the context of the call
// that set out for it, so that the line can carry its trace.
func TestLogKnowsTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, log, store := maskinportentest.New(), &callerLog{}, newMemoryStore()
		file := filepath.Join(t.TempDir(), "keystore.p12")
		require.NoError(t, os.WriteFile(file, maskinportentest.Certificate{}.PKCS12("password"), 0o600))
		config := fake.Config()
		config.Logger, config.Store, config.Credential = slog.New(log), store, maskinporten.PKCS12File(file, "password")
		client, err := maskinporten.New(config)
		require.NoError(t, err)
		ask := func(name, scope string) {
			t.Helper()
			_, err := client.Token(caller(t, name), maskinporten.Request{Scope: scope})
			require.NoError(t, err)
			synctest.Wait()
		}

		fake.FailNext(1, maskinportentest.Fault{Status: 503})
		ask("retries", "a:one")
		fake.SetClock(time.Minute)
		fake.FailNext(1, maskinportentest.Fault{Status: 503})
		ask("sees another clock", "b:two")
		require.NoError(t, os.WriteFile(file, []byte("damaged"), 0o600))
		ask("finds another file", "c:three")
		store.set(func(context.Context, string) error { return errors.New("no") })
		time.Sleep(10 * time.Second)
		ask("finds the store away", "d:four")
		store.set(nil)
		time.Sleep(10 * time.Second)
		ask("finds the store again", "e:five")

		fake.Handle("api.example.no", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
		transport, err := client.Transport(maskinporten.Request{Scope: "a:one"}, fake.Transport(), "api.example.no")
		require.NoError(t, err)
		for range 10 {
			req, err := http.NewRequestWithContext(caller(t, "calls"), http.MethodGet, "https://api.example.no/", nil)
			require.NoError(t, err)
			resp, err := transport.RoundTrip(req)
			require.NoError(t, err)
			resp.Body.Close()
		}

		log.mu.Lock()
		defer log.mu.Unlock()
		for _, want := range []string{
			"retries: maskinporten: trying again",
			"sees another clock: maskinporten: this machine's clock is off",
			"finds another file: maskinporten: the changed credential file does not load",
			"finds the store away: maskinporten: the token store fails",
			"finds the store again: maskinporten: the token store answers again",
			"calls: maskinporten: the API answers 401 to new tokens too",
		} {
			require.True(t, slices.ContainsFunc(log.lines, func(line string) bool { return strings.HasPrefix(line, want) }), "%s in %q", want, log.lines)
		}
		for _, line := range log.lines {
			require.False(t, strings.HasPrefix(line, ": "), line)
		}
	})
}
