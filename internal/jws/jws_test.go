package jws

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"
)

const issuer = "https://issuer.example/"

var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// opaqueSigner is a key that may live in an HSM: no *rsa.PrivateKey.
type opaqueSigner struct{ crypto.Signer }

type failingSigner struct{ crypto.Signer }

func (failingSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("the HSM is asleep")
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func token(header, payload string) string { return encoded(header) + "." + encoded(payload) + ".c2ln" }

// signed is a token of payload as it is written, by k1.
func signed(payload string) string {
	token, err := Sign(testKey(), Header{KeyID: "k1"}, json.RawMessage(payload))
	if err != nil {
		panic(err)
	}
	return token
}

func verifier() *Verifier {
	return NewVerifier(issuer, func(_ context.Context, kid string) (*Key, error) {
		if kid != "k1" {
			return nil, errors.New("no such key")
		}
		return &Key{RSA: &testKey().PublicKey}, nil
	})
}

func TestSign(t *testing.T) {
	type claims struct {
		Z string `json:"z"`
		A string `json:"a"`
	}
	for header, want := range map[string]Header{
		`{"alg":"RS256","kid":"key <1>"}`:       {KeyID: "key <1>"},
		`{"alg":"RS256","x5c":["TUlJ","AAA="]}`: {Chain: []string{"TUlJ", "AAA="}},
	} {
		token, err := Sign(opaqueSigner{testKey()}, want, claims{"1", "2"})
		require.NoError(t, err)
		parts := strings.Split(token, ".")
		require.Len(t, parts, 3)
		got, err := base64.RawURLEncoding.DecodeString(parts[0])
		require.NoError(t, err)
		require.JSONEq(t, header, string(got))
		require.Equal(t, encoded(`{"z":"1","a":"2"}`), parts[1], "claims keep the order of their type")
		_, err = jwt.Parse(token, func(*jwt.Token) (any, error) { return &testKey().PublicKey, nil })
		require.NoError(t, err)
	}
}

func TestSignFails(t *testing.T) {
	_, err := Sign(failingSigner{testKey()}, Header{KeyID: "k1"}, object{})
	require.ErrorContains(t, err, "the HSM is asleep")
	_, err = Sign(testKey(), Header{KeyID: "k1"}, func() {})
	require.Error(t, err)
}

type object = map[string]any

// Another package of the program may put a method of its own into jwt's
// registry, as those for cloud keys do.
func TestVerifyDoesNotHangOnTheRegistry(t *testing.T) {
	before := jwt.GetSigningMethod("RS256")
	defer jwt.RegisterSigningMethod("RS256", func() jwt.SigningMethod { return before })
	jwt.RegisterSigningMethod("RS256", func() jwt.SigningMethod { return gullible{} })
	now := time.Now().Unix()
	payload := fmt.Sprintf(`{"iss":%q,"iat":%d,"exp":%d}`, issuer, now, now+60)
	_, err := verifier().Verify(t.Context(), signed(payload))
	require.NoError(t, err)
	_, err = verifier().Verify(t.Context(), token(`{"alg":"RS256","kid":"k1"}`, payload))
	require.ErrorContains(t, err, "signature is wrong")
}

type gullible struct{}

func (gullible) Alg() string                      { return "RS256" }
func (gullible) Verify(string, []byte, any) error { return nil }
func (gullible) Sign(string, any) ([]byte, error) { return []byte("signed"), nil }

func TestParseObject(t *testing.T) {
	for _, test := range []struct{ name, text, reason string }{
		{"empty", `{}`, ""},
		{"names apart", `{"a":1,"b":{"a":2,"a":3},"ab":[]}`, ""},
		{"white space", " {\n\"a\" : 1 }\t", ""},
		{"the same name", `{"a":1,"a":1}`, `states "a" twice`},
		{"escaped", `{"a":1,"\u0061":1}`, `states "a" twice`},
		{"another case", `{"scope":1,"Scope":1}`, `states "Scope" twice`},
		{"the long s, which is an s to encoding/json", `{"scope":1,"ſcope":1}`, "twice"},
		{"the Kelvin sign, which is a k", `{"kid":1,"\u212aid":1}`, "twice"},
		{"escapes and brackets in texts", `{"a\\":"}\"]","b":["\\",{"c":"["}],"d":"\\\""}`, ""},
		{"as many as there may be", manyMembers(maxMembers), ""},
		{"more than there may be", manyMembers(maxMembers + 1), "more than 100"},
		{"a known name in another case", `{"PID":1}`, `states "PID" for pid`},
		{"a name that begins as a known one", `{"pid2":1,"PI":2}`, ""},
		{"not an object", `[]`, "is not a JSON object"},
		{"null", `null`, "is not a JSON object"},
		{"nothing", ``, "is not valid JSON"},
		{"cut", `{"a":1`, "is not valid JSON"},
		{"cut in a name", `{"a`, "is not valid JSON"},
		{"no value", `{"a"}`, "is not valid JSON"},
		{"more behind it", `{} {}`, "is not valid JSON"},
		{"a person as a name", `{"259229 47409":1,"259229 47409":2}`, `states "[hidden]" twice`},
		{"a line break in the name stays out of logs", `{"a\nb":1,"a\nb":2}`, `states "a b" twice`},
	} {
		_, err := ParseObject("it", []byte(test.text), "pid")
		if test.reason == "" {
			require.NoError(t, err, test.name)
			continue
		}
		require.ErrorContains(t, err, test.reason, test.name)
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":0`, i)
	}
	return "{" + b.String()[1:] + "}"
}

// The members are those that encoding/json finds.
func FuzzParseObject(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"a":[2,"x"]},"c" : "\\\"" , "d":null}`))
	f.Add([]byte(` {"a\u0062":"}","\\":[]} `))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := ParseObject("it", data)
		var want map[string]json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil {
			require.Error(t, err)
			return
		}
		if err != nil {
			require.Regexp(t, "twice|more than", err.Error())
			return
		}
		require.Len(t, o, len(want))
		for _, m := range o {
			require.Equal(t, string(want[m.name]), string(m.value))
			var s string
			if err := json.Unmarshal(m.value, &s); err == nil && string(m.value) != "null" {
				got, err := o.Text(m.name)
				require.NoError(t, err)
				require.Equal(t, s, got)
			}
		}
	})
}

func TestValues(t *testing.T) {
	o, err := ParseObject("it", []byte(`{"text":"t","null":null,"number":1.5,"texts":["a","b"],"array":[1,{}],
		"object":{"authority":"a","ID":"b"},"lower":{"authority":"a","id":"b"},"huge":1e300,"negative":-1}`))
	require.NoError(t, err)
	for _, absent := range []string{"null", "nowhere"} {
		text, err := o.Text(absent)
		require.NoError(t, err)
		require.Empty(t, text)
		texts, err := o.Texts(absent)
		require.NoError(t, err)
		require.Empty(t, texts)
		at, err := o.Time(absent)
		require.NoError(t, err)
		require.True(t, at.IsZero())
		inner, err := o.Object(absent)
		require.NoError(t, err)
		require.Nil(t, inner)
		values, err := o.Array(absent)
		require.NoError(t, err)
		require.Nil(t, values)
		organisation, err := o.Organisation(absent)
		require.NoError(t, err)
		require.Zero(t, organisation)
	}
	texts, err := o.Texts("text")
	require.NoError(t, err)
	require.Equal(t, []string{"t"}, texts)
	texts, err = o.Texts("texts")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, texts)
	at, err := o.Time("number")
	require.NoError(t, err)
	require.Equal(t, time.Unix(1, 5e8), at)
	for _, name := range []string{"object", "lower"} {
		organisation, err := o.Organisation(name)
		require.NoError(t, err)
		require.Equal(t, Organisation{"a", "b"}, organisation)
	}
	for _, wrong := range []func() error{
		func() error { _, err := o.Text("number"); return err },
		func() error { _, err := o.Texts("number"); return err },
		func() error { _, err := o.Texts("array"); return err },
		func() error { _, err := o.Time("text"); return err },
		func() error { _, err := o.Time("huge"); return err },
		func() error { _, err := o.Time("negative"); return err },
		func() error { _, err := o.Object("array"); return err },
		func() error { _, err := o.Array("object"); return err },
		func() error { _, err := o.Organisation("text"); return err },
	} {
		var bad *Error
		require.ErrorAs(t, wrong(), &bad)
	}
}

// A time is one before the year 10000, to the last second.
func TestTimesHaveBounds(t *testing.T) {
	o, err := ParseObject("it", []byte(`{"first":0,"last":253402300799,"over":253402300800,"before":-0.5}`))
	require.NoError(t, err)
	first, err := o.Time("first")
	require.NoError(t, err)
	require.Equal(t, time.Unix(0, 0), first, "stated, if only in 1970")
	last, err := o.Time("last")
	require.NoError(t, err)
	require.Equal(t, 9999, last.UTC().Year())
	for _, name := range []string{"over", "before"} {
		_, err := o.Time(name)
		require.Error(t, err, name)
	}
}

func TestNumber(t *testing.T) {
	for id, number := range map[string]string{
		"0192:910753614": "910753614", "0192:910753614:x": "910753614", "0192:000000009": "000000009",
		"0192:91075361": "", "0192:9107536141": "", "0192:91075361/": "", "0192:91075361:": "", "0192:9107536;4": "", "910753614": "", "0007:910753614": "", "": "",
	} {
		require.Equal(t, number, Organisation{iso6523, id}.Number(), id)
	}
}

// What may be a person's number is not shown, however it is written.
func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"25922947409": "[hidden]", "259229 47409": "[hidden]", "0-9-0-9-0-9-0-9-0-9-0": "[hidden]", "2592294740": "2592294740", "a\nb": "a b",
	} {
		require.Equal(t, want, printable(text), text)
	}
}

func TestKeyIsForOneAlgorithm(t *testing.T) {
	now := time.Now().Unix()
	token := signed(fmt.Sprintf(`{"iss":%q,"iat":%d,"exp":%d}`, issuer, now, now+60))
	for alg, reason := range map[string]string{"RS256": "", "": "", "RS512": "its alg is RS256, but its key is for RS512"} {
		v := NewVerifier(issuer, func(context.Context, string) (*Key, error) {
			return &Key{RSA: &testKey().PublicKey, Alg: alg}, nil
		})
		_, err := v.Verify(t.Context(), token)
		if reason == "" {
			require.NoError(t, err, alg)
		} else {
			require.ErrorContains(t, err, reason)
		}
	}
	require.True(t, KnownAlgorithm("RS384"))
	require.False(t, KnownAlgorithm("PS256"))
}

func TestUnverified(t *testing.T) {
	claims, err := Unverified(token(`not even JSON`, `{"iss":"i"}`))
	require.NoError(t, err)
	iss, err := claims.Text("iss")
	require.NoError(t, err)
	require.Equal(t, "i", iss)
	for _, opaque := range []string{"", "a", "a.b", "a.b.c.d", strings.Repeat("a", maxToken+1)} {
		_, err := Unverified(opaque)
		require.ErrorIs(t, err, ErrNotJWT)
	}
	for _, unreadable := range []string{"a.!.c", "a.e30=.c", "a.eyJ.c", "a." + encoded("[]") + ".c", "a." + encoded(`{"a":1,"A":2}`) + ".c", "a.e30.c\n", "a.e3\r0.c", "a.e30." + strings.Repeat("a", maxToken)} {
		_, err := Unverified(unreadable)
		require.NotErrorIs(t, err, ErrNotJWT)
		var bad *Error
		require.ErrorAs(t, err, &bad)
	}
}

// What is wrong with a token is told in an order: it has expired only if that
// is all.
func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now().Unix()
		payload := func(iss string, iat, exp int64, more string) string {
			return fmt.Sprintf(`{"iss":%q,"iat":%d,"exp":%d%s}`, iss, iat, exp, more)
		}
		for _, test := range []struct{ name, token, reason string }{
			{"good", signed(payload(issuer, now, now+1, "")), ""},
			{"the clock is ten seconds behind", signed(payload(issuer, now+10, now+60, "")), ""},
			{"valid from now on", signed(payload(issuer, now, now+60, fmt.Sprintf(`,"nbf":%d`, now))), ""},
			{"eleven seconds behind", signed(payload(issuer, now+11, now+60, "")), "in the future"},
			{"expired just now", signed(payload(issuer, now-60, now, "")), "it expired at 2000-01-01T00:00:00Z"},
			{"expired a part of a second ago", signed(fmt.Sprintf(`{"iss":%q,"iat":%d,"exp":%d.5}`, issuer, now-60, now-1)), "it expired at"},
			{"not valid yet", signed(payload(issuer, now, now+60, fmt.Sprintf(`,"nbf":%d`, now+1))), "nbf is in the future"},
			{"expired, of another issuer", signed(payload("x", now-60, now, "")), "its issuer is"},
			{"expired, not valid yet", signed(payload(issuer, now-60, now, fmt.Sprintf(`,"nbf":%d`, now+1))), "nbf is in the future"},
			{"expired, no iat", signed(fmt.Sprintf(`{"iss":%q,"exp":%d}`, issuer, now)), "no iat"},
			{"no exp", signed(fmt.Sprintf(`{"iss":%q,"iat":%d}`, issuer, now)), "no exp"},
			{"iat is text", signed(fmt.Sprintf(`{"iss":%q,"iat":"now","exp":%d}`, issuer, now+60)), "iat is no time"},
			{"null", signed(`null`), "its issuer is"},
			{"not an object", signed(`[]`), "its payload is not a JSON object"},
			{"unsigned", token(`{"alg":"RS256","kid":"k1"}`, payload(issuer, now, now+60, "")), "signature is wrong"},
			{"a signature that is none", strings.TrimSuffix(token(`{"alg":"RS256","kid":"k1"}`, payload(issuer, now, now+60, "")), "c2ln") + "!", "signature is not base64url"},
			{"a payload that is none", "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsxIn0.!.c2ln", "payload is not base64url"},
			{"a header that is none", "!.e30.c2ln", "header is not base64url"},
			{"a header that is no object", token(`[]`, `{}`), "header is not a JSON object"},
			{"alg is no text", token(`{"alg":1,"kid":"k1"}`, `{}`), "alg is not a string"},
			{"kid is no text", token(`{"alg":"RS256","kid":1}`, `{}`), "kid is not a string"},
			{"kid twice", token(`{"alg":"RS256","kid":"k2","kid":"k1"}`, `{}`), "twice"},
			{"crit is null", token(`{"alg":"RS256","kid":"k1","crit":null}`, `{}`), "crit"},
			{"no key", token(`{"alg":"RS256","kid":"k2"}`, `{"iss":"https://issuer.example/"}`), "no such key"},
		} {
			claims, err := verifier().Verify(context.Background(), test.token)
			if test.reason == "" {
				require.NoError(t, err, test.name)
				require.NotEmpty(t, claims, test.name)
				continue
			}
			require.ErrorContains(t, err, test.reason, test.name)
			require.Nil(t, claims, test.name)
			var bad *Error
			require.Equal(t, strings.Contains(test.reason, "expired"), errors.As(err, &bad) && bad.Expired, test.name)
		}
	})
}

// A header that was good is not looked at again, another is.
func TestHeaderIsRemembered(t *testing.T) {
	now := time.Now().Unix()
	payload := fmt.Sprintf(`{"iss":%q,"iat":%d,"exp":%d}`, issuer, now, now+60)
	v := verifier()
	good := signed(payload)
	for range 2 {
		_, err := v.Verify(t.Context(), good)
		require.NoError(t, err)
	}
	_, err := v.Verify(t.Context(), token(`{"alg":"RS256","kid":"k2"}`, payload))
	require.ErrorContains(t, err, "no such key")
	_, err = v.Verify(t.Context(), good)
	require.NoError(t, err)
}

func FuzzVerify(f *testing.F) {
	f.Add(signed(`{"iss":"https://issuer.example/","iat":1,"exp":2}`))
	f.Add(token(`{"alg":"RS256","kid":"k1"}`, `{"a":1,"A":2}`))
	f.Add("a.b.c")
	v := verifier()
	f.Fuzz(func(t *testing.T, token string) {
		claims, err := v.Verify(t.Context(), token)
		require.Error(t, err, "nobody but the key's owner makes a valid one")
		require.Nil(t, claims)
		if claims, err = Unverified(token); err == nil {
			for _, m := range claims {
				name := m.name
				claims.Text(name)
				claims.Texts(name)
				claims.Time(name)
				claims.Array(name)
				claims.Organisation(name)
			}
		}
	})
}
