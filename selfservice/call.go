package selfservice

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/internal/endpoint"
)

// The scopes of the API.
// https://docs.digdir.no/docs/idporten/oidc/oidc_api_admin
const (
	scopeRead     = "idporten:dcr.read"
	scopeModify   = "idporten:dcr.modify"
	scopeWrite    = "idporten:dcr.write"
	scopeSupplier = "idporten:dcr.supplier"
)

// callTimeout bounds a call with its repetitions, once there is a token for it.
const callTimeout = 15 * time.Second

// call is one operation of the API.
type call struct {
	doing  string // for errors: "list the integrations"
	method string
	path   string // below the base, escaped
	scope  string // empty: the operation is open, no token is sent
	once   bool   // never sent twice
	body   any    // nil: none
}

// do makes the call, decodes a success into answer, if that is not nil, and
// tries again where that may help: network errors and 5xx, but never what may
// be done only once. 4xx are final.
func (c *Client) do(ctx context.Context, k call, answer any) error {
	if c == nil || c.admin == nil {
		return invalid("Client", "is not ready: make it with selfservice.New")
	}
	var body []byte
	if k.body != nil {
		var err error
		if body, err = json.Marshal(k.body); err != nil {
			return fmt.Errorf("selfservice: %s: %w", k.doing, err)
		}
	}
	if err := c.authorize(ctx, &k); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var failed error
	endpoint.Retry(ctx, c.log, func() (time.Duration, bool) {
		var again bool
		again, failed = c.attempt(ctx, k, body, answer)
		return 0, again && !k.once
	})
	return failed
}

// authorize sees that there is a token for the call. An admin client that was
// granted idporten:dcr.write alone changes integrations with that.
func (c *Client) authorize(ctx context.Context, k *call) error {
	if k.scope == "" {
		return nil
	}
	_, err := c.admin.Token(ctx, maskinporten.Request{Scope: k.scope})
	if k.scope == scopeModify && errors.Is(err, maskinporten.ErrScopeNotAllowed) {
		k.scope = scopeWrite
		_, err = c.admin.Token(ctx, maskinporten.Request{Scope: k.scope})
	}
	if err != nil {
		return fmt.Errorf("selfservice: %s: %w", k.doing, err)
	}
	return nil
}

// attempt sends the call once, and reports whether sending it again may help.
func (c *Client) attempt(ctx context.Context, k call, body []byte, answer any) (again bool, err error) {
	hc, err := c.clientFor(k.scope)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, k.method, c.base+k.path, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("selfservice: %s: the request cannot be made", k.doing)
	}
	if body == nil {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	if k.once {
		req.GetBody = nil // nor may net/http, or the transport after a 401
	}
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(req)
	if errors.Is(err, maskinporten.ErrNoToken) {
		return false, fmt.Errorf("selfservice: %s: %w", k.doing, withoutURL(err))
	}
	if err != nil {
		return true, c.unavailable(k, err)
	}
	defer resp.Body.Close()
	read, err := endpoint.ReadBody(resp.Body)
	read = bytes.TrimPrefix(read, []byte("\ufeff")) // as some gateways put before JSON
	switch {
	case err != nil:
		return true, c.unavailable(k, err)
	case resp.StatusCode/100 != 2:
		failed := parseError(k.doing, resp, read)
		if k.once && resp.StatusCode >= 500 {
			return false, fmt.Errorf("%w: %w", ErrUnclear, failed)
		}
		return resp.StatusCode >= 500, failed
	case answer == nil:
		return false, nil
	}
	if err := json.Unmarshal(read, answer); err != nil {
		failed := fmt.Errorf("selfservice: %s: HTTP %d, but the answer is not what the API documents%s", k.doing, resp.StatusCode, pageSays(read))
		if k.once {
			return false, fmt.Errorf("%w: %w", ErrUnclear, failed)
		}
		return false, failed
	}
	return false, nil
}

// unavailable is a call that got no answer.
func (c *Client) unavailable(k call, err error) error {
	failed := fmt.Errorf("selfservice: %s: %w", k.doing, endpoint.Explain(err, c.base, c.http))
	if k.once {
		return fmt.Errorf("%w: %w", ErrUnclear, failed)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, failed)
}

// clientFor is an HTTP client that sends tokens for scope to the API's host,
// and nowhere else.
func (c *Client) clientFor(scope string) (*http.Client, error) {
	hc := *c.http
	if scope == "" {
		return &hc, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	transport := c.transports[scope]
	if transport == nil {
		var err error
		if transport, err = c.admin.Transport(maskinporten.Request{Scope: scope}, hc.Transport, c.host); err != nil {
			return nil, err
		}
		c.transports[scope] = transport
	}
	hc.Transport = transport
	return &hc, nil
}

// withoutURL takes away what net/http puts around an error: the method and the
// URL, which the error says in its own words.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
