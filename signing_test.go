package maskinporten

import (
	"context"
	"crypto"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten/internal/tokencache"
)

func TestSignerThatHangsHurtsOnlyItsFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		c := w.client(t, nil)
		wake := make(chan struct{})
		c.exchange.source = keyCredential(&hangingSigner{Signer: testKey(), wake: wake})
		start := time.Now()
		_, err := c.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, `token for scope "s" from test`)
		require.Equal(t, tokencache.Timeout+100*time.Millisecond, time.Since(start))
		c.exchange.source = testCredential()
		time.Sleep(time.Second)
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.ErrorIs(t, err, context.DeadlineExceeded, "no other is started beside one that hangs")
		_, err = c.Token(t.Context(), Request{Scope: "other"})
		require.NoError(t, err)
		close(wake)
		synctest.Wait()
		_, err = c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err)
	})
}

// After a restart with thousands of customers, grants are sent as they are
// signed.
func TestSignaturesAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: func(n int, g *sentGrant) (*http.Response, error) {
			time.Sleep(time.Second)
			return ok(n, g)
		}}
		c := w.client(t, nil)
		signer := &countingSigner{Signer: testKey()}
		c.exchange.source = keyCredential(signer)
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				_, err := c.Token(t.Context(), Request{Scope: fmt.Sprint(i)})
				require.NoError(t, err)
			})
		}
		start := time.Now()
		wg.Wait()
		require.Equal(t, int64(maxSigning), signer.most.Load())
		require.Equal(t, 4*signingTime+time.Second, time.Since(start), "only signing is bounded, not sending")
	})
}

// A signer that hangs is not called more often than it may sign at once, also
// when the flights that called it have ended; flights that waited for it do not
// begin to sign then. Another credential is not held up, and the same one
// signs again once it comes back.
func TestSignerThatHangsForEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{reply: ok}
		c := w.client(t, nil)
		wake := make(chan struct{})
		hanging := &hangingSigner{Signer: testKey(), wake: wake}
		source := &switchingSource{}
		source.use(keyCredential(hanging))
		c.exchange.source = source
		var wg sync.WaitGroup
		for round := range 10 {
			for i := range 3 * maxSigning {
				wg.Go(func() {
					_, err := c.Token(t.Context(), Request{Scope: fmt.Sprintf("s%d-%d", round, i)})
					require.Error(t, err)
				})
			}
			wg.Wait()
		}
		require.Equal(t, int64(maxSigning), hanging.calls.Load())
		require.Zero(t, w.sent())

		source.use(testCredential())
		_, err := c.Token(t.Context(), Request{Scope: "s"})
		require.NoError(t, err, "another credential")
		source.use(keyCredential(hanging))
		close(wake)
		time.Sleep(time.Minute)
		_, err = c.Token(t.Context(), Request{Scope: "t"})
		require.NoError(t, err, "it came back")
		require.Equal(t, int64(maxSigning+1), hanging.calls.Load())
	})
}

const signingTime = 100 * time.Millisecond

type countingSigner struct {
	crypto.Signer
	now, most atomic.Int64
}

func (s *countingSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	for n, most := s.now.Add(1), s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	defer s.now.Add(-1)
	time.Sleep(signingTime)
	return s.Signer.Sign(r, digest, opts)
}

type hangingSigner struct {
	crypto.Signer
	wake  chan struct{}
	calls atomic.Int64
}

func (s *hangingSigner) Sign(r io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.calls.Add(1)
	<-s.wake
	return s.Signer.Sign(r, digest, opts)
}
