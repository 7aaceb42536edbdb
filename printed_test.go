package maskinporten_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/altinn"
	"github.com/maskinporten-go/maskinporten/apis"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
	"github.com/maskinporten-go/maskinporten/resourceserver"
	"github.com/maskinporten-go/maskinporten/selfservice"
)

// exported has a value of every exported struct type of the packages for production.
var exported = []any{
	maskinporten.Client{}, maskinporten.Config{}, maskinporten.Consent{}, maskinporten.Credential{}, maskinporten.Environment{}, maskinporten.Error{},
	maskinporten.ExchangedToken{}, maskinporten.Fetch{}, maskinporten.FetchResult{}, maskinporten.FieldError{}, maskinporten.PrefetchError{},
	maskinporten.Prefetched{}, maskinporten.Request{}, maskinporten.Stats{}, maskinporten.StoreRequest{}, maskinporten.SystemUser{}, maskinporten.Token{},
	maskinporten.TokenSource{}, maskinporten.Trace{}, maskinporten.Transport{},
	altinn.Error{}, altinn.Exchange{},
	apis.API{}, apis.QueueError{},
	resourceserver.Claims{}, resourceserver.ConsentClaim{}, resourceserver.ConsentRight{}, resourceserver.OrganisationID{}, resourceserver.SystemUserClaim{}, resourceserver.Verifier{},
	selfservice.Access{}, selfservice.Client{}, selfservice.DelegationSource{}, selfservice.Error{}, selfservice.FieldFault{}, selfservice.Integration{}, selfservice.Key{},
	selfservice.Options{}, selfservice.PrivateKey{}, selfservice.Rotated{}, selfservice.Rotation{}, selfservice.Scope{},
}

// The tables here know every exported struct type.
func TestExportedTypesAreKnown(t *testing.T) {
	known := map[string]bool{"resourceserver.OrganisationID": true} // an alias, without a name of its own
	for _, v := range exported {
		known[reflect.TypeOf(v).String()] = true
	}
	for _, room := range []string{".", "altinn", "apis", "resourceserver", "selfservice"} {
		files, err := filepath.Glob(filepath.Join(room, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			require.NoError(t, err)
			ast.Inspect(parsed, func(n ast.Node) bool {
				spec, ok := n.(*ast.TypeSpec)
				if !ok || !spec.Name.IsExported() {
					return true
				}
				if _, ok := spec.Type.(*ast.StructType); ok {
					name := parsed.Name.Name + "." + spec.Name.Name
					require.True(t, known[name], "%s is missing in the table", name)
				}
				return true
			})
		}
	}
}

// printed is v in every way that a program may print or log it.
func printed(v any) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%v\n%+v\n%#v\n%s\n%q\n%x\n", v, v, v, v, v, v)
	text, err := json.Marshal(v)
	fmt.Fprintln(&b, string(text), err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("", "v", v, "in", struct{ V any }{v})
	slog.New(slog.NewJSONHandler(&b, nil)).Info("", "v", v, "in", struct{ V any }{v})
	return b.String()
}

// A nil pointer prints as one, or as an empty value, in a log too.
func TestNilPointersPrint(t *testing.T) {
	for _, v := range exported {
		if _, ok := v.(slog.LogValuer); ok {
			continue // values of it are logged too, so that slog cannot ask a nil pointer
		}
		none := reflect.Zero(reflect.PointerTo(reflect.TypeOf(v))).Interface()
		require.NotContains(t, strings.ToLower(printed(none)), "panic", "%T", none)
		require.Regexp(t, `^<nil>$|\(nil\)$|\{\}$`, fmt.Sprint(none), "%T", none)
	}
}

// A nil pointer's methods give zero values, as those of a Client and a Token do.
func TestNilPointersHaveZeroValues(t *testing.T) {
	for _, v := range exported {
		pointer := reflect.PointerTo(reflect.TypeOf(v))
		if pointer.Implements(reflect.TypeFor[error]()) {
			continue
		}
		for i := range pointer.NumMethod() {
			method := pointer.Method(i)
			_, onValues := reflect.TypeOf(v).MethodByName(method.Name)
			if onValues || method.Type.NumIn() != 1 {
				continue
			}
			require.NotPanics(t, func() { method.Func.Call([]reflect.Value{reflect.Zero(pointer)}) }, "%s.%s", pointer, method.Name)
		}
	}
	var none *maskinporten.Token
	require.Zero(t, none.Expiry())
	require.Zero(t, (&maskinporten.Token{}).Expiry())
	require.Zero(t, none.Scope())
	require.False(t, none.OAuth2().Valid())
	var unknown *maskinporten.Credential
	require.Nil(t, unknown.WithKeyID("k"))
	require.Zero(t, unknown.NotAfter())
	_, err := maskinporten.New(maskinporten.Config{Environment: maskinporten.Test, ClientID: "c", Credential: unknown})
	requireField(t, err, "Credential")
	var nobody *resourceserver.Claims
	require.False(t, nobody.HasScope(""))
	require.False(t, nobody.HasAudience("unspecified"))
}

// Nothing that a program gets hold of shows a secret when it is printed, be it
// in use or not.
func TestNothingPrintedIsSecret(t *testing.T) {
	t.Parallel()
	const (
		password = "a-password-nobody-knows"
		person   = "25922947409"
		consent  = "77ed8698-4d9b-4a3b-8f9e-1a7cdbc1f0aa"
	)
	fake := maskinportentest.New()
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, content, 0o600))
		return name
	}
	key, err := selfservice.NewKey()
	require.NoError(t, err)
	secrets := map[string]string{"the password": password, "the person": person}
	hide := func(what, value string) {
		require.NotEmpty(t, value, what)
		secrets[what] = value
	}
	var jwk map[string]any
	require.NoError(t, json.Unmarshal(key.JWK(), &jwk))
	for _, name := range []string{"d", "p"} {
		number, err := base64.RawURLEncoding.DecodeString(jwk[name].(string))
		require.NoError(t, err)
		hide("the key's "+name, jwk[name].(string))
		hide("the key's "+name+" in hex", fmt.Sprintf("%x", number))
		hide("the key's "+name+" in bytes", strings.Trim(fmt.Sprint(number[:20]), "[]"))
		hide("the key's "+name+" as a number", new(big.Int).SetBytes(number).String())
	}

	store := file("store.p12", maskinportentest.Certificate{}.PKCS12(password))
	sources := []maskinporten.CredentialSource{
		maskinporten.PKCS12File(store, password),
		maskinporten.PKCS12PasswordFile(store, file("password", []byte(password))),
		maskinporten.JWKFile(file("client.jwk", key.JWK())),
		maskinporten.PEMFile(filepath.Join(dir, "none.pem")),
		maskinporten.PKCS12File(password, store), // the wrong way round
	}
	var things []any
	for _, source := range sources {
		things = append(things, source) // before it has been read
	}
	for _, source := range sources {
		cred, err := source.Credential(t.Context())
		things = append(things, source, cred, err, maskinporten.Config{Environment: maskinporten.Test, ClientID: "c", Credential: source})
		if cred != nil {
			things = append(things, *cred, cred.WithKeyID("k"))
		}
	}

	cfg := fake.Config()
	cfg.Credential = sources[0]
	client, err := maskinporten.New(cfg)
	require.NoError(t, err)
	request := maskinporten.Request{Scope: "a:b", Consent: maskinporten.Consent{ID: consent, From: "urn:altinn:person:identifier-no:" + person}}
	got, err := client.Token(t.Context(), request)
	require.NoError(t, err)
	hide("the token", got.AccessToken())
	parts := strings.Split(got.AccessToken(), ".")
	hide("the token's payload", parts[1])
	hide("the token's signature", parts[2])
	source, err := client.TokenSource(request)
	require.NoError(t, err)
	transport, err := client.Transport(request, nil, "api.example.no")
	require.NoError(t, err)
	things = append(things, client, client.Stats(), cfg, got, *got, request, &request, request.Consent, source, transport,
		&http.Client{Transport: transport}, maskinporten.Fetch{ID: 1, Request: request}, maskinporten.Prefetched{Request: request},
		&maskinporten.PrefetchError{Failed: map[maskinporten.Request]error{request: maskinporten.ErrNoToken}},
		maskinporten.ExchangedToken{AccessToken: got.AccessToken(), Lifetime: time.Minute})

	exchanging := client.WithExchange(altinn.TT02)
	traded, err := exchanging.Token(t.Context(), request)
	require.NoError(t, err)
	hide("the exchanged token", traded.AccessToken())
	_, refused := altinn.Exchange{Platform: "https://nowhere.example.no"}.Exchange(t.Context(), fake.HTTPClient(), got, request)
	require.Error(t, refused)
	things = append(things, exchanging, traded, altinn.TT02, refused)

	api, err := apis.SkatteetatenInntekt.Via(fake.Transport()).HTTPClient(client, "")
	require.NoError(t, err)
	things = append(things, apis.SkatteetatenInntekt, api, api.Transport)

	verifier, err := resourceserver.NewVerifier(fake.Environment(), fake.HTTPClient())
	require.NoError(t, err)
	claims, err := verifier.Verify(t.Context(), got.AccessToken())
	require.NoError(t, err)
	require.Len(t, claims.Consents, 1)
	_, invalid := verifier.Verify(t.Context(), got.AccessToken()+"A")
	require.Error(t, invalid)
	things = append(things, verifier, claims, *claims, claims.Consents[0], &claims.Consents[0], invalid)

	admin, err := selfservice.New(client, selfservice.Options{HTTPClient: fake.HTTPClient()})
	require.NoError(t, err)
	integration, err := admin.Create(t.Context(), selfservice.Integration{Name: "n", Scopes: []string{"a:b"}})
	require.NoError(t, err)
	_, missing := admin.Keys(t.Context(), "nobody")
	things = append(things, admin, integration, key, *key, key.Public(), selfservice.KeyFile("c", filepath.Join(dir, "client.jwk")), missing)

	for _, thing := range things {
		text := printed(thing)
		for what, secret := range secrets {
			require.NotContainsf(t, text, secret, "%T shows %s", thing, what)
		}
	}
}

// What a program may print without thinking is short, and tells what it is.
func TestFileSourcesAreNamed(t *testing.T) {
	for text, source := range map[string]maskinporten.CredentialSource{
		`CredentialSource{"/etc/maskinporten/store.p12"}`:                            maskinporten.PKCS12File("/etc/maskinporten/store.p12", "secret"),
		`CredentialSource{"/etc/maskinporten/tls.key", "/etc/maskinporten/tls.crt"}`: maskinporten.PEMFile("/etc/maskinporten/tls.key", "/etc/maskinporten/tls.crt"),
		`CredentialSource{"/etc/maskinporten/client.jwk"}`:                           maskinporten.JWKFile("/etc/maskinporten/client.jwk"),
		`CredentialSource{` + "[hidden]" + `}`:                                       maskinporten.PKCS12File("hunter2 and more", "store.p12"),
	} {
		require.Equal(t, text, fmt.Sprintf("%+v", source))
		require.Contains(t, fmt.Sprintf("%+v", maskinporten.Config{Credential: source}), text)
	}
}
