package apis_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/stretchr/testify/require"
)

// withCaller adds to a line who called, as a handler does that adds trace ids.
type withCaller struct{ slog.Handler }

type callerKey struct{}

func (h withCaller) Handle(ctx context.Context, r slog.Record) error {
	if who, ok := ctx.Value(callerKey{}).(string); ok {
		r.AddAttrs(slog.String("caller", who))
	}
	return h.Handler.Handle(ctx, r)
}

// What a queue that does not move says, and to whom.
func TestQueueThatDoesNotMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		fake := maskinportentest.New()
		cfg := fake.Config()
		cfg.Logger = slog.New(withCaller{slog.NewTextHandler(&log, nil)})
		client, err := maskinporten.New(cfg)
		require.NoError(t, err)
		s := &server{respond: func(*http.Request) *http.Response { return answer(200, open()) }}
		api := apis.API{Name: "The API", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 2}.Via(s)
		hc := httpClient(t, api, client, "")
		var held []*http.Response
		for range 2 { // whose bodies nobody closes
			resp, err := hc.Get(api.TestURL)
			require.NoError(t, err)
			held = append(held, resp)
			time.Sleep(5 * time.Second)
		}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), callerKey{}, "me"))
		defer cancel()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { get(t, ctx, hc, api.TestURL) })
		}
		sent := &closed{Reader: strings.NewReader("x")}
		req, err := http.NewRequest("POST", api.TestURL+"/otp/25922947409", sent)
		require.NoError(t, err)
		short, end := context.WithTimeout(t.Context(), 15*time.Second)
		defer end()
		time.Sleep(time.Second)
		_, err = hc.Do(req.WithContext(short))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, maskinporten.ErrNoToken)
		require.True(t, sent.Load(), "the body is closed")
		var queue *apis.QueueError
		require.ErrorAs(t, err, &queue)
		require.True(t, queue.Timeout())
		require.Equal(t, "The API", queue.API)
		require.Equal(t, 2, queue.Limit)
		require.Equal(t, 14*time.Second, queue.Waited)
		require.Equal(t, 4, queue.Waiting)
		require.Equal(t, 25*time.Second, queue.Longest)
		require.Equal(t, "maskinporten: waited 14s for one of the 2 calls that The API takes at a time: context deadline exceeded; 4 waited, and the longest call under way has lasted 25s: is the body of every answer closed?", queue.Error())

		require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
		require.Contains(t, log.String(), `api="The API" waiting=4 longest_call=20s caller=me`)
		time.Sleep(time.Hour)
		require.Equal(t, 1, strings.Count(log.String(), "\n"), "once is enough")

		// It moves, and stands still again.
		held[0].Body.Close()
		synctest.Wait()
		time.Sleep(time.Minute)
		require.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
		cancel()
		wg.Wait()
		held[1].Body.Close()
		time.Sleep(time.Hour)
		require.Equal(t, 2, strings.Count(log.String(), "\n"), "an empty queue says nothing")
	})
}

// lines is a log that several goroutines write to.
type lines struct {
	mu sync.Mutex
	strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Builder.String()
}

// A queue that moves slowly is as it should be.
func TestSlowQueueIsNotLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		cfg := maskinportentest.New().Config()
		cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		client, err := maskinporten.New(cfg)
		require.NoError(t, err)
		api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 1}.Via(&server{takes: 9 * time.Second})
		hc := httpClient(t, api, client, "")
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				resp, err := hc.Get(api.TestURL)
				if err == nil {
					resp.Body.Close()
				}
			})
		}
		wg.Wait()
		require.Empty(t, log.String())
	})
}

// Those who wait get their places in the order in which they came, and those
// who leave take none.
func TestQueueIsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		s := &server{takes: time.Second, respond: func(req *http.Request) *http.Response {
			order = append(order, req.URL.Path)
			return answer(200, http.NoBody)
		}}
		api := apis.API{Name: "x", Scope: "x:y", TestURL: "https://api.example.no", Concurrency: 1}.Via(s)
		hc := httpClient(t, api, newClient(t, maskinportentest.New()), "")
		var wg sync.WaitGroup
		for i := range 6 {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				get(t, ctx, hc, fmt.Sprintf("%s/%d", api.TestURL, i))
			})
			if i == 3 {
				time.AfterFunc(500*time.Millisecond, cancel)
			}
		}
		wg.Wait()
		require.Equal(t, []string{"/0", "/1", "/2", "/4", "/5"}, order)
		require.Equal(t, 1, s.most)
	})
}
