package maskinporten

import (
	"context"
	"crypto"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes of RS256,
	_ "crypto/sha512" // RS384 and RS512
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/endpoint"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// What [Verifier.Verify] found. Both are also what a program that does not
// tell them apart checks with ErrTokenInvalid.
var (
	// ErrTokenInvalid: the token is not one of the environment's, or not now.
	ErrTokenInvalid = errors.New("maskinporten: the token is not valid")

	// ErrTokenExpired: the token was valid, and its time is over.
	ErrTokenExpired = errors.New("maskinporten: the token has expired")
)

// Verifier checks access tokens for those who offer an API. It needs no client
// and no key. It is safe for concurrent use; make one, and share it: it keeps
// the environment's public keys for 24 hours. Make it with [NewVerifier].
type Verifier struct {
	env  Environment
	keys keySet

	// header is the last one of a good token: as long as the key is the same,
	// all have the same, and need not be decoded again.
	header atomic.Pointer[jwtHeader]
}

// NewVerifier makes a Verifier of tokens from env. It does no I/O: the keys
// are fetched from env.JWKSURL with hc (which may be nil) when the first token
// comes. Its errors are a *[FieldError].
func NewVerifier(env Environment, hc *http.Client) (*Verifier, error) {
	if env == (Environment{}) {
		return nil, invalid("Environment", "is missing: use maskinporten.Prod or maskinporten.Test")
	}
	if err := checkEndpoint("Environment.Issuer", env.Issuer); err != nil {
		return nil, err
	}
	if err := checkEndpoint("Environment.JWKSURL", env.JWKSURL); err != nil {
		return nil, err
	}
	return newVerifier(env, endpoint.NewClient(hc)), nil
}

func newVerifier(env Environment, hc *http.Client) *Verifier {
	return &Verifier{env: env, keys: keySet{url: env.JWKSURL, http: hc}}
}

// Verify checks an access token from the client's environment and returns what
// it says: [Verifier.Verify], for looking into the client's own tokens.
func (c *Client) Verify(ctx context.Context, token string) (*Claims, error) {
	return c.verifier.Verify(ctx, token)
}

// issuedAhead is how far ahead of ours the clock of Maskinporten may be: as
// much as Maskinporten tolerates itself.
const issuedAhead = 10 * time.Second

// Verify checks that token was signed by one of the environment's keys (RS256,
// RS384 or RS512, nothing else), that its issuer is the environment's to the
// letter, and that it has been issued and has not expired. Whom it is for
// (audience, scope) is for the API to decide: see [Verifier.Require].
//
// A token that fails is [ErrTokenInvalid]; one whose time is over is
// [ErrTokenExpired] too. Keys that cannot be fetched are [ErrUnavailable]: that
// says nothing of the token. No error contains the token.
//
// Keys are kept for 24 hours, and for another 24 if no new ones can be had. A
// token by an unknown key makes them be fetched again, at most once a minute.
// Callers wait for the same fetch, each no longer than its ctx.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	if v.env.JWKSURL == "" {
		return nil, invalid("Environment.JWKSURL", "is missing: give the URL of the key set, to verify by")
	}
	parts, err := split(token)
	if err != nil {
		return nil, err
	}
	if err := v.checkSignature(ctx, parts); err != nil {
		return nil, err
	}
	claims, err := parts.claims()
	if err != nil {
		return nil, err
	}
	if err := v.check(claims, time.Now()); err != nil {
		return nil, err
	}
	return claims, nil
}

// hashes is the algorithms that Maskinporten signs with. PSS, HMAC (whose
// secret would be the public key) and none are not among them.
var hashes = map[string]crypto.Hash{"RS256": crypto.SHA256, "RS384": crypto.SHA384, "RS512": crypto.SHA512}

// checkSignature is RFC 7515 §5.2, by hand: jwt's parser spends a fifth of the
// time of the signature check itself, on a map for the header and on decoding
// the payload of tokens whose signature is then found to be wrong.
func (v *Verifier) checkSignature(ctx context.Context, p jwtParts) error {
	header := v.header.Load()
	if header == nil || header.encoded != p.header {
		var err error
		if header, err = p.parseHeader(); err != nil {
			return invalidToken(err)
		}
	}
	signature, err := base64url.DecodeString(p.signature)
	if err != nil {
		return invalidToken(errors.New("its signature is not base64url"))
	}
	key, err := v.keys.find(ctx, header.kid)
	if err != nil {
		return err
	}
	if key.alg != "" && key.alg != header.alg {
		return invalidToken(fmt.Errorf("its alg is %s, but its key is for %s", header.alg, key.alg))
	}
	hash := hashes[header.alg]
	digest := hash.New()
	digest.Write([]byte(p.signed))
	if rsa.VerifyPKCS1v15(key.rsa, hash, digest.Sum(nil), signature) != nil {
		return invalidToken(errors.New("its signature is wrong"))
	}
	if v.header.Load() != header {
		v.header.Store(header)
	}
	return nil
}

// jwtHeader is immutable.
type jwtHeader struct{ encoded, alg, kid string }

func (p jwtParts) parseHeader() (*jwtHeader, error) {
	decoded, err := base64url.DecodeString(p.header)
	if err != nil {
		return nil, errors.New("its header is not base64url")
	}
	var h struct {
		Alg  string          `json:"alg"`
		Kid  string          `json:"kid"`
		Crit json.RawMessage `json:"crit"`
	}
	if json.Unmarshal(decoded, &h) != nil {
		return nil, errors.New("its header is not JSON")
	}
	switch _, ok := hashes[h.Alg]; {
	case !ok:
		return nil, fmt.Errorf("its alg is %q: Maskinporten signs with RS256, RS384 or RS512", redact.Clean(h.Alg, 20))
	case h.Crit != nil:
		return nil, errors.New("its header demands an extension (crit) that is not known here")
	case h.Kid == "":
		return nil, errors.New("its header names no key (kid)")
	}
	return &jwtHeader{encoded: strings.Clone(p.header), alg: h.Alg, kid: h.Kid}, nil
}

func (v *Verifier) check(c *Claims, now time.Time) error {
	switch {
	case c.Issuer != v.env.Issuer:
		return invalidToken(fmt.Errorf("its issuer is %q, not %q", redact.Clean(c.Issuer, 100), v.env.Issuer))
	case c.IssuedAt.IsZero() || c.Expiry.IsZero():
		return invalidToken(errors.New("it states no iat or no exp"))
	case !now.Before(c.Expiry):
		return &tokenError{reason: fmt.Errorf("it expired at %s", c.Expiry.UTC().Format(time.RFC3339)), expired: true}
	case c.IssuedAt.After(now.Add(issuedAhead)):
		return invalidToken(errors.New("it is issued in the future: one of the clocks is off"))
	}
	return nil
}

// tokenError is what is wrong with a token.
type tokenError struct {
	reason  error
	expired bool
}

func invalidToken(reason error) error { return &tokenError{reason: reason} }

func (e *tokenError) Error() string { return ErrTokenInvalid.Error() + ": " + e.reason.Error() }

// Is makes it ErrTokenInvalid, and ErrTokenExpired if that is what it is.
func (e *tokenError) Is(target error) bool {
	return target == ErrTokenInvalid || e.expired && target == ErrTokenExpired
}
