package maskinporten_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/stretchr/testify/require"
)

// Zero values and nil pointers, as a forgotten error check leaves them, say so
// where they are used.
func TestZeroValuesAreErrors(t *testing.T) {
	r := maskinporten.Request{Scope: "a:b"}
	for name, c := range map[string]*maskinporten.Client{"nil": nil, "zero": {}} {
		for _, c := range []*maskinporten.Client{c, c.WithExchange(altinn.TT02)} {
			for method, call := range map[string]func() error{
				"Token":       func() error { _, err := c.Token(t.Context(), r); return err },
				"TokenSource": func() error { _, err := c.TokenSource(r); return err },
				"Transport":   func() error { _, err := c.Transport(r, nil, "api.example.no"); return err },
				"Credential":  func() error { _, err := c.Credential(t.Context()); return err },
				"Prefetch":    func() error { return c.Prefetch(t.Context(), []maskinporten.Request{r}, 1, nil) },
				"HTTPClient":  func() error { _, err := apis.SkatteetatenInntekt.HTTPClient(c, ""); return err },
			} {
				err := call()
				require.ErrorContains(t, err, "this Client was not made by New", "%s %s", name, method)
				require.ErrorIs(t, err, maskinporten.ErrNoToken, "%s %s", name, method)
			}
			c.Invalidate("x")
			require.Zero(t, c.Stats())
			require.Zero(t, c.Environment())
			require.Empty(t, c.ClientID())
			require.Empty(t, c.OrgNumber(t.Context()))
			c.Logger().Info("nowhere")
			require.Equal(t, "Client{}", c.String())
		}
	}
	for name, s := range map[string]*maskinporten.TokenSource{"nil": nil, "zero": {}} {
		_, err := s.TokenContext(context.Background())
		require.ErrorContains(t, err, "this TokenSource was not made by Client.TokenSource", name)
		require.ErrorIs(t, err, maskinporten.ErrNoToken)
		_, err = s.Token()
		require.ErrorIs(t, err, maskinporten.ErrNoToken)
		_ = fmt.Sprint(s)
	}
	for name, tr := range map[string]*maskinporten.Transport{"nil": nil, "zero": {}} {
		body := &counted{Reader: strings.NewReader("x")}
		req, err := http.NewRequest("POST", "https://api.example.no", body)
		require.NoError(t, err)
		_, err = (&http.Client{Transport: tr}).Do(req)
		require.ErrorContains(t, err, "this Transport was not made by Client.Transport", name)
		require.ErrorIs(t, err, maskinporten.ErrNoToken)
		require.Equal(t, 1, body.closed)
		tr.CloseIdleConnections()
		_ = fmt.Sprint(tr)
	}
	var none maskinporten.Token
	require.Empty(t, none.AccessToken())
	require.Empty(t, (*maskinporten.Token)(nil).AccessToken())
	_, err := apis.API{}.HTTPClient(nil, "")
	requireField(t, err, "API")
	_, err = altinn.TT02.Exchange(canceled(), nil, &none, r)
	require.ErrorIs(t, err, context.Canceled)
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

type counted struct {
	*strings.Reader
	closed int
}

func (c *counted) Close() error { c.closed++; return nil }
