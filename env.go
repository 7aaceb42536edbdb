package maskinporten

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/maskinporten-go/maskinporten/internal/keystore"
	"github.com/maskinporten-go/maskinporten/internal/redact"
)

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
	envBase64       = "MASKINPORTEN_KEYSTORE_BASE64"
	envPEM          = "MASKINPORTEN_CLIENT_PEM"
	envJWK          = "MASKINPORTEN_CLIENT_JWK"
	envKeyID        = "MASKINPORTEN_KEY_ID"
	envScopes       = "MASKINPORTEN_SCOPES"
	envConsumerOrg  = "MASKINPORTEN_CONSUMER_ORG"
)

// ConfigFromEnv makes a Config from environment variables:
//
//   - MASKINPORTEN_ENV (prod or test), or MASKINPORTEN_ISSUER with
//     MASKINPORTEN_TOKEN_ENDPOINT (and, for a server that is not Digdir's,
//     MASKINPORTEN_JWKS_URI, if tokens are verified), or MASKINPORTEN_WELL_KNOWN_URL
//     of prod or test, which is not fetched;
//   - MASKINPORTEN_CLIENT_ID;
//   - one of MASKINPORTEN_KEYSTORE_PATH (a PKCS#12, PEM or JWK file; or PEM files
//     separated as [os.PathListSeparator] says; or a folder with tls.key and
//     tls.crt; looked at each time a grant is signed), MASKINPORTEN_KEYSTORE_BASE64
//     (such a file in base64), MASKINPORTEN_CLIENT_PEM (key and certificates) and
//     MASKINPORTEN_CLIENT_JWK (a private JWK, as NAIS injects it);
//   - MASKINPORTEN_KEYSTORE_PASSWORD or MASKINPORTEN_KEYSTORE_PASSWORD_FILE, for PKCS#12;
//   - MASKINPORTEN_KEY_ID, if the key or its certificate is registered on the
//     client: PEM needs no certificate then, and the kid of a JWK gives way.
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
	if err = checkQuotationMarks(envClientID); err == nil {
		err = checkClientID(envClientID, cfg.ClientID)
	}
	keep(err)
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
	for _, name := range []string{envScopes, envConsumerOrg} {
		if err := checkQuotationMarks(name); err != nil {
			return Request{}, err
		}
	}
	r := Request{Scope: os.Getenv(envScopes), ConsumerOrg: os.Getenv(envConsumerOrg)}
	if r.Scope == "" {
		return Request{}, invalid(envScopes, "is not set: give the scopes, separated by spaces")
	}
	if err := r.Validate(); err != nil {
		return Request{}, byVariable(err)
	}
	return r, nil
}

func environmentFromEnv() (Environment, error) {
	for _, name := range []string{envEnvironment, envIssuer, envTokenURL, envJWKSURL, envWellKnown} {
		if err := checkQuotationMarks(name); err != nil {
			return Environment{}, err
		}
	}
	own := Environment{Issuer: os.Getenv(envIssuer), TokenURL: os.Getenv(envTokenURL), JWKSURL: os.Getenv(envJWKSURL)}
	switch name := strings.ToLower(strings.TrimSpace(os.Getenv(envEnvironment))); name {
	case "":
		return own.completed()
	case "prod":
		return Prod, own.checkAgainst(Prod)
	case "test":
		return Test, own.checkAgainst(Test)
	default:
		return own, invalid(envEnvironment, fmt.Sprintf("is %q: give prod or test", redact.Clean(name, 40)))
	}
}

// completed returns e, as variables give it, with what is known of Digdir's
// environments: NAIS gives no key set.
func (e Environment) completed() (Environment, error) {
	metadata := os.Getenv(envWellKnown)
	if e.Issuer == "" && e.TokenURL == "" {
		for _, d := range digdirs {
			if metadata == d.Issuer+wellKnown {
				return d, e.checkAgainst(d)
			}
		}
		if metadata != "" {
			return e, invalid(envEnvironment, "is not set, and "+envWellKnown+" alone is not read here: set "+envIssuer+" and "+envTokenURL+" too, or call Discover with it")
		}
		return e, invalid(envEnvironment, "is not set: give prod or test, or set "+envIssuer+" and "+envTokenURL)
	}
	if e.Issuer == "" {
		return e, invalid(envIssuer, "is not set, but "+envTokenURL+" is: the two go together")
	}
	if e.TokenURL == "" {
		return e, invalid(envTokenURL, "is not set, but "+envIssuer+" is: the two go together")
	}
	for _, d := range digdirs {
		if e.JWKSURL == "" && e.Issuer == d.Issuer {
			e.JWKSURL = d.JWKSURL
		}
	}
	if err := e.validate(); err != nil {
		return e, byVariable(err)
	}
	return e, checkMetadataURL(envIssuer, e)
}

// checkAgainst refuses variables that say another environment than named.
func (e Environment) checkAgainst(named Environment) error {
	for _, other := range []struct{ variable, says, named string }{
		{envIssuer, e.Issuer, named.Issuer}, {envTokenURL, e.TokenURL, named.TokenURL}, {envJWKSURL, e.JWKSURL, named.JWKSURL},
	} {
		if other.says != "" && other.says != other.named {
			return invalid(envEnvironment, "says "+named.name()+", but "+other.variable+" says another: set one of them")
		}
	}
	return checkMetadataURL(envEnvironment, named)
}

// checkMetadataURL refuses one of another of Digdir's environments than e, which
// variable says. It is not fetched, so that any other URL does not matter.
func checkMetadataURL(variable string, e Environment) error {
	for _, d := range digdirs {
		if os.Getenv(envWellKnown) == d.Issuer+wellKnown && e.Issuer != d.Issuer {
			return invalid(variable, "says "+e.name()+", but "+envWellKnown+" is of "+d.name()+": set one of them")
		}
	}
	return nil
}

// byVariable returns an error about an Environment or a Request as one that also
// names the variable that the field was taken from.
func byVariable(err error) error {
	variables := map[string]string{
		"Environment.Issuer": envIssuer, "Environment.TokenURL": envTokenURL, "Environment.JWKSURL": envJWKSURL,
		"Request.Scope": envScopes, "Request.ConsumerOrg": envConsumerOrg,
	}
	var field *FieldError
	if !errors.As(err, &field) {
		return err
	}
	return invalid(field.Field, "("+variables[field.Field]+") "+field.Problem)
}

func credentialFromEnv() (CredentialSource, error) {
	variable, value, err := oneOf(envKeystore, envBase64, envPEM, envJWK)
	if err != nil {
		return nil, err
	}
	if variable == "" {
		return nil, invalid(envKeystore, "is not set: give the path of the virksomhetssertifikat's .p12 file, or set "+envBase64+", "+envPEM+" or "+envJWK)
	}
	passwordVariable, password, err := oneOf(envPassword, envPasswordFile)
	if err != nil {
		return nil, err
	}
	var passwordFile string
	if passwordVariable == envPasswordFile {
		password, passwordFile = "", password
	}
	kid := os.Getenv(envKeyID)
	for _, name := range []string{envKeystore, envJWK, envPasswordFile, envKeyID} {
		if err := checkQuotationMarks(name); err != nil {
			return nil, err
		}
	}
	if err := checkKeyID(envKeyID, kid); err != nil {
		return nil, err
	}
	source := &fileSource{file: keystore.StoreFile(value, password, passwordFile, kid)}
	if variable != envKeystore {
		source.file = keystore.StoreContent([]byte(value), password, passwordFile, kid)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cred, err := source.Credential(ctx)
	switch {
	case errors.Is(err, keystore.ErrPasswordFile):
		return nil, invalidBecause(envPasswordFile, err)
	case errors.Is(err, ErrWrongPassword) && passwordVariable == "":
		return nil, invalid(envPassword, "is not set, and the keystore does not open without a password: set it, or "+envPasswordFile)
	case errors.Is(err, ErrWrongPassword):
		return nil, invalidBecause(passwordVariable, fmt.Errorf("%w%s", err, oddPassword(password)))
	case errors.Is(err, ErrNotKeystore) && variable == envJWK:
		_, err = LoadJWK([]byte(value)) // which says what a JWK lacks, not what a PKCS#12 file does
		return nil, invalidBecause(variable, err)
	case errors.Is(err, ErrNotKeystore) && variable == envPEM:
		_, err = LoadPEM([]byte(value))
		return nil, invalidBecause(variable, err)
	case err != nil:
		return nil, invalidBecause(variable, err)
	case variable != envKeystore:
		return cred, nil // what is in a variable does not change
	}
	return source, nil
}

// oneOf returns the one of the variables that is set, if one is.
func oneOf(names ...string) (name, value string, err error) {
	for _, n := range names {
		v := os.Getenv(n)
		switch {
		case v == "":
		case name != "":
			return "", "", invalid(name, "and "+n+" are both set: set one of them")
		default:
			name, value = n, v
		}
	}
	return name, value, nil
}

// checkQuotationMarks points out what docker's --env-file leaves standing.
func checkQuotationMarks(variable string) error {
	if inQuotationMarks(os.Getenv(variable)) {
		return invalid(variable, "has quotation marks around its value, as files for docker's --env-file often have, which keeps them: take them away")
	}
	return nil
}

func inQuotationMarks(s string) bool {
	return len(s) > 1 && s[0] == s[len(s)-1] && (s[0] == '"' || s[0] == '\'')
}

// oddPassword is for the error of a password that does not open a keystore: what
// may have come along with it.
func oddPassword(password string) string {
	switch {
	case inQuotationMarks(password):
		return "; it has quotation marks around it, which docker's --env-file does not take away"
	case strings.TrimSpace(password) != password:
		return "; it begins or ends with white space"
	}
	return ""
}
