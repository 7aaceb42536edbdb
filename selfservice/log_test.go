package selfservice_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

type callerKey struct{}

// callers notes for whom lines are logged.
type callers struct {
	slog.Handler
	seen []any
}

func (c *callers) Enabled(context.Context, slog.Level) bool { return true }

func (c *callers) Handle(ctx context.Context, _ slog.Record) error {
	c.seen = append(c.seen, ctx.Value(callerKey{}))
	return nil
}

// The lines of a rotation carry the trace of who rotates.
func TestLogKnowsTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, log := newHouse(t), &callers{Handler: slog.DiscardHandler}
		admin, err := maskinporten.New(h.fake.Config())
		require.NoError(t, err)
		h.api, err = selfservice.New(admin, selfservice.Options{HTTPClient: h.fake.HTTPClient(), Logger: slog.New(log)})
		require.NoError(t, err)
		_, err = h.api.Rotate(context.WithValue(t.Context(), callerKey{}, "me"), h.rotation)
		require.NoError(t, err)
		require.NotEmpty(t, log.seen)
		for _, who := range log.seen {
			require.Equal(t, "me", who)
		}
	})
}
