package maskinporten

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/redact"
)

// Environment is one Maskinporten: its issuer, its token endpoint and, for
// [Client.Verify], its key set. Use [Prod] or [Test], fill one in for another
// server, or let [Discover] read it from the server's metadata.
//
// Issuer is used exactly as given, as `aud` of a grant and `iss` of a token:
// Maskinporten's ends in a slash, Skyporten's does not. TokenURL and JWKSURL
// must be https, unless their host is a loopback address. JWKSURL may be empty
// when nothing is verified.
type Environment struct{ Issuer, TokenURL, JWKSURL string }

// The environments Digdir runs, as its metadata describes them
// (https://docs.digdir.no/docs/Maskinporten/maskinporten_func_wellknown).
// A production certificate works only in Prod, a test certificate only in Test.
var (
	Prod = Environment{
		Issuer:   "https://maskinporten.no/",
		TokenURL: "https://maskinporten.no/token",
		JWKSURL:  "https://maskinporten.no/jwk",
	}
	Test = Environment{
		Issuer:   "https://test.maskinporten.no/",
		TokenURL: "https://test.maskinporten.no/token",
		JWKSURL:  "https://test.maskinporten.no/jwk",
	}
)

// Ver2 is the old verification environment.
//
// Deprecated: Digdir phased it out on 2024-06-10; use [Test].
var Ver2 = Environment{
	Issuer:   "https://ver2.maskinporten.no/",
	TokenURL: "https://ver2.maskinporten.no/token",
	JWKSURL:  "https://ver2.maskinporten.no/jwk",
}

// name is what an error or a log line calls the environment.
func (e Environment) name() string {
	switch e.Issuer {
	case Prod.Issuer:
		return "prod"
	case Test.Issuer:
		return "test"
	case Ver2.Issuer:
		return "ver2"
	}
	return e.Issuer
}

func (e Environment) validate() error {
	if e == (Environment{}) {
		return invalid("Environment", "is missing: use maskinporten.Prod or maskinporten.Test")
	}
	if err := checkEndpoint("Environment.Issuer", e.Issuer); err != nil {
		return err
	}
	if e.Issuer+"/" == Prod.Issuer || e.Issuer+"/" == Test.Issuer {
		return invalid("Environment.Issuer", fmt.Sprintf("%q lacks the slash at its end: Maskinporten's has one, and compares it to the letter", e.Issuer))
	}
	if err := checkEndpoint("Environment.TokenURL", e.TokenURL); err != nil {
		return err
	}
	if e.JWKSURL == "" {
		return nil
	}
	return checkEndpoint("Environment.JWKSURL", e.JWKSURL)
}

// checkEndpoint refuses a URL that a grant, or trust in keys, must not depend on.
func checkEndpoint(field, raw string) error {
	if raw == "" {
		return invalid(field, "is missing: give its https URL")
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "":
		return invalid(field, "is not a URL: give it as https://host/path")
	case u.User != nil:
		return invalid(field, "holds a user name or a password: leave them out")
	case u.RawQuery != "" || u.Fragment != "":
		return invalid(field, "has a query or a fragment: leave it out")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return nil
	}
	return invalid(field, fmt.Sprintf("%q is not https: only a loopback address may be called without TLS", raw))
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

const wellKnown = ".well-known/oauth-authorization-server"

// Discover reads an environment from its metadata (RFC 8414), for instance at
// https://test.maskinporten.no/.well-known/oauth-authorization-server. The
// issuer that the metadata states must be the one whose URL was asked (RFC
// 8414 §3.3); it is kept exactly as stated.
//
// hc may be nil. Redirects are not followed, an answer may be 1 MiB and take
// 20 seconds. Discover is for start-up: what it returns does not change.
func Discover(ctx context.Context, hc *http.Client, wellKnownURL string) (Environment, error) {
	fail := func(err error) (Environment, error) {
		return Environment{}, fmt.Errorf("maskinporten: reading the metadata at %s: %w", wellKnownURL, err)
	}
	if err := checkEndpoint("wellKnownURL", wellKnownURL); err != nil {
		return Environment{}, err
	}
	before, after, ok := strings.Cut(wellKnownURL, wellKnown)
	if !ok || !strings.HasSuffix(before, "/") {
		return Environment{}, invalid("wellKnownURL", "does not contain /"+wellKnown)
	}
	body, err := getDocument(ctx, tokenClient(hc), wellKnownURL)
	if err != nil {
		return fail(err)
	}
	var metadata struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
		JWKSURI       string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &metadata); err != nil {
		return fail(errors.New("the answer is not JSON metadata"))
	}
	// Skyporten's issuer has no trailing slash, Maskinporten's has: compare
	// without, keep what is stated.
	asked := strings.TrimSuffix(before, "/") + strings.TrimSuffix(after, "/")
	if strings.TrimSuffix(metadata.Issuer, "/") != asked {
		return fail(fmt.Errorf("it states the issuer %q, which is not whose metadata was asked for", redact.Clean(metadata.Issuer, 200)))
	}
	env := Environment{Issuer: metadata.Issuer, TokenURL: metadata.TokenEndpoint, JWKSURL: metadata.JWKSURI}
	if err := env.validate(); err != nil {
		return fail(err)
	}
	return env, nil
}

// getDocument reads a public JSON document: metadata or a key set.
func getDocument(ctx context.Context, hc *http.Client, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		return nil, explainNetwork(err, url, hc)
	}
	defer resp.Body.Close()
	body, err := readBounded(resp.Body)
	if err != nil {
		return nil, explainNetwork(err, url, hc)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP %d: %s", resp.StatusCode, redact.FirstLine(body))
	}
	return body, nil
}

// The variables that ConfigFromEnv and RequestFromEnv read; NAIS injects some
// of them, maskinporten-cli reads others.
const (
	envEnvironment  = "MASKINPORTEN_ENV"
	envIssuer       = "MASKINPORTEN_ISSUER"
	envTokenURL     = "MASKINPORTEN_TOKEN_ENDPOINT"
	envJWKSURL      = "MASKINPORTEN_JWKS_URI"
	envWellKnown    = "MASKINPORTEN_WELL_KNOWN_URL"
	envClientID     = "MASKINPORTEN_CLIENT_ID"
	envKeystore     = "MASKINPORTEN_KEYSTORE_PATH"
	envPassword     = "MASKINPORTEN_KEYSTORE_PASSWORD"
	envPasswordFile = "MASKINPORTEN_KEYSTORE_PASSWORD_FILE"
	envJWK          = "MASKINPORTEN_CLIENT_JWK"
	envKeyID        = "MASKINPORTEN_KEY_ID"
	envScopes       = "MASKINPORTEN_SCOPES"
	envConsumerOrg  = "MASKINPORTEN_CONSUMER_ORG"
)

// ConfigFromEnv makes a Config from environment variables:
//
//   - MASKINPORTEN_ENV (prod or test), or MASKINPORTEN_ISSUER with
//     MASKINPORTEN_TOKEN_ENDPOINT (and MASKINPORTEN_JWKS_URI, if tokens are verified);
//   - MASKINPORTEN_CLIENT_ID;
//   - MASKINPORTEN_KEYSTORE_PATH (PKCS#12 or PEM, read again when it changes) with
//     MASKINPORTEN_KEYSTORE_PASSWORD or MASKINPORTEN_KEYSTORE_PASSWORD_FILE,
//     or MASKINPORTEN_CLIENT_JWK (a private JWK, as NAIS injects it);
//   - MASKINPORTEN_KEY_ID, if the keystore's certificate is registered on the client.
//
// The keystore is opened once, so that a wrong path or password is seen at
// start. The error names all that is missing or contradictory, not only the
// first; each is a *[FieldError].
func ConfigFromEnv() (Config, error) {
	var (
		cfg  Config
		errs []error
	)
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	cfg.Environment, err = environmentFromEnv()
	keep(err)
	cfg.ClientID = os.Getenv(envClientID)
	keep(checkClientID(envClientID, cfg.ClientID))
	cfg.Credential, err = credentialFromEnv()
	keep(err)
	if len(errs) > 0 {
		return Config{}, errors.Join(errs...)
	}
	return cfg, nil
}

// RequestFromEnv makes a Request from MASKINPORTEN_SCOPES (separated by
// spaces) and, when set, MASKINPORTEN_CONSUMER_ORG. The error is a *[FieldError].
func RequestFromEnv() (Request, error) {
	r := Request{Scope: os.Getenv(envScopes), ConsumerOrg: os.Getenv(envConsumerOrg)}
	if r.Scope == "" {
		return Request{}, invalid(envScopes, "is not set: give the scopes, separated by spaces")
	}
	if err := r.validate(); err != nil {
		return Request{}, err
	}
	return r, nil
}

func environmentFromEnv() (Environment, error) {
	name := strings.ToLower(strings.TrimSpace(os.Getenv(envEnvironment)))
	own := Environment{Issuer: os.Getenv(envIssuer), TokenURL: os.Getenv(envTokenURL), JWKSURL: os.Getenv(envJWKSURL)}
	var named Environment
	switch name {
	case "":
		if own.Issuer == "" && own.TokenURL == "" {
			if os.Getenv(envWellKnown) != "" {
				return own, invalid(envEnvironment, "is not set, and "+envWellKnown+" alone is not read here: set "+envIssuer+" and "+envTokenURL+" too, or call Discover with it")
			}
			return own, invalid(envEnvironment, "is not set: give prod or test, or set "+envIssuer+" and "+envTokenURL)
		}
		if own.Issuer == "" {
			return own, invalid(envIssuer, "is not set, but "+envTokenURL+" is: the two go together")
		}
		if own.TokenURL == "" {
			return own, invalid(envTokenURL, "is not set, but "+envIssuer+" is: the two go together")
		}
		return own, own.validate()
	case "prod":
		named = Prod
	case "test":
		named = Test
	default:
		return own, invalid(envEnvironment, fmt.Sprintf("is %q: give prod or test", redact.Clean(name, 40)))
	}
	for _, other := range []struct{ variable, says, named string }{
		{envIssuer, own.Issuer, named.Issuer}, {envTokenURL, own.TokenURL, named.TokenURL}, {envJWKSURL, own.JWKSURL, named.JWKSURL},
	} {
		if other.says != "" && other.says != other.named {
			return own, invalid(envEnvironment, "says "+name+", but "+other.variable+" says another: set one of them")
		}
	}
	return named, nil
}

func credentialFromEnv() (CredentialSource, error) {
	var (
		path         = os.Getenv(envKeystore)
		passwordFile = os.Getenv(envPasswordFile)
		jwk          = os.Getenv(envJWK)
		kid          = os.Getenv(envKeyID)
	)
	password, hasPassword := os.LookupEnv(envPassword)
	switch {
	case path == "" && jwk == "":
		return nil, invalid(envKeystore, "is not set: give the path of the virksomhetssertifikat's .p12 file, or set "+envJWK)
	case path != "" && jwk != "":
		return nil, invalid(envKeystore, "and "+envJWK+" are both set: set one of them")
	case hasPassword && passwordFile != "":
		return nil, invalid(envPassword, "and "+envPasswordFile+" are both set: set one of them")
	case jwk != "":
		cred, err := LoadJWK([]byte(jwk))
		if err != nil {
			return nil, invalidBecause(envJWK, err)
		}
		if kid != "" && kid != cred.kid {
			return nil, invalid(envKeyID, "differs from the kid in "+envJWK+": leave it out")
		}
		return cred, nil
	}
	source := keystoreFile(path, password, passwordFile, kid)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := source.Credential(ctx)
	switch {
	case err == nil:
		return source, nil
	case errors.Is(err, ErrWrongPassword) && passwordFile != "":
		return nil, invalidBecause(envPasswordFile, err)
	case errors.Is(err, ErrWrongPassword) && !hasPassword:
		return nil, invalid(envPassword, "is not set, and the keystore does not open without a password: set it, or "+envPasswordFile)
	case errors.Is(err, ErrWrongPassword):
		return nil, invalidBecause(envPassword, err)
	}
	return nil, invalidBecause(envKeystore, err)
}

// maxAnswer bounds what is read of any answer.
const maxAnswer = 1 << 20

var errTooLarge = errors.New("the answer is larger than 1 MiB")

func readBounded(r io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxAnswer+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, errTooLarge
	}
	return body, nil
}
