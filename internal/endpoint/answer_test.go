package endpoint

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"7", "", 7 * time.Second},
		{"0", "", 0},
		{"-5", "", 0},
		{"99999999999999999999", "", time.Hour},
		{"4000000000", "", time.Hour},
		{"soon", "", 0},
		{now.Add(time.Minute).Format(http.TimeFormat), "", time.Minute},
		{now.Add(-time.Minute).Format(http.TimeFormat), "", 0},
		{now.Add(time.Hour + time.Minute).Format(http.TimeFormat), now.Add(time.Hour).Format(http.TimeFormat), time.Minute},
	} {
		h := http.Header{"Retry-After": {tt.value}, "Date": {tt.date}}
		require.Equal(t, tt.want, retryAfter(h, now), "%q", tt.value)
	}
}

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"access_token":"a","token_type":"Bearer","expires_in":120,"scope":"s"}`,
		`{"access_token":"a","token_type":"Bearer","expires_in":"1e3"}`,
		"<html>",
		`{"a":1,"a":2}`,
		`{"access_token":"e30.e30.e30","token_type":"bearer"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := ParseAnswer(body)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NotEmpty(t, a.AccessToken)
		require.True(t, visibleASCII(a.AccessToken))
		require.GreaterOrEqual(t, a.Lifetime, time.Duration(0))
	})
}

func TestParseAnswer(t *testing.T) {
	const lasting = `"token_type":"Bearer","expires_in":60`
	for _, tt := range []struct {
		reason, body string
		want         Answer
		problem      string
	}{
		{"as documented", `{"access_token":"a","token_type":"Bearer","expires_in":120,"scope":"s"}`, Answer{"a", "s", 2 * time.Minute}, ""},
		{"after a byte order mark", "\ufeff" + `{"access_token":"a",` + lasting + `}`, Answer{"a", "", time.Minute}, ""},
		{"white space around it", " \n" + `{"access_token":"a",` + lasting + "} \r\n", Answer{"a", "", time.Minute}, ""},
		{"other fields, nested", `{"x":{"access_token":1},"y":[1,2],"access_token":"a",` + lasting + `}`, Answer{"a", "", time.Minute}, ""},
		{"type in other letters", `{"access_token":"a","token_type":"BEARER","expires_in":60}`, Answer{"a", "", time.Minute}, ""},
		{"a number in a string", `{"access_token":"a","token_type":"Bearer","expires_in":"60.5"}`, Answer{"a", "", 60500 * time.Millisecond}, ""},
		{"a lifetime that is not stated", `{"access_token":"a","token_type":"Bearer"}`, Answer{"a", "", 0}, ""},
		{"or null", `{"access_token":"a","token_type":"Bearer","expires_in":null}`, Answer{"a", "", 0}, ""},
		{"as long as a float can be", `{"access_token":"a","token_type":"Bearer","expires_in":1e999}`, Answer{"a", "", 1e9 * time.Second}, ""},
		{"a scope with a line break", `{"access_token":"a","scope":"a\nb",` + lasting + `}`, Answer{"a", "a b", time.Minute}, ""},
		{"all visible characters", `{"access_token":"!~",` + lasting + `}`, Answer{"!~", "", time.Minute}, ""},
		{"an array", `[]`, Answer{}, "is not a JSON object"},
		{"a page", `<html>`, Answer{}, "is not a JSON object"},
		{"nothing", ``, Answer{}, "is not a JSON object"},
		{"half a name", `{"access`, Answer{}, "is not valid JSON"},
		{"half a value", `{"access_token":"a`, Answer{}, "is not valid JSON"},
		{"no end", `{"access_token":"a"`, Answer{}, "is not valid JSON"},
		{"a name twice", `{"access_token":"a","access_token":"a",` + lasting + `}`, Answer{}, `states "access_token" twice`},
		{"more after it", `{"access_token":"a",` + lasting + `}{}`, Answer{}, "goes on after its JSON object"},
		{"no token", `{` + lasting + `}`, Answer{}, "holds no access_token"},
		{"null for a token", `{"access_token":null,` + lasting + `}`, Answer{}, "holds no access_token"},
		{"a number for a token", `{"access_token":1,` + lasting + `}`, Answer{}, "its access_token is not a string"},
		{"a token with a space", `{"access_token":"a b",` + lasting + `}`, Answer{}, "holds a space"},
		{"a token with DEL", `{"access_token":"a\u007f",` + lasting + `}`, Answer{}, "holds a space"},
		{"no type", `{"access_token":"a","expires_in":60}`, Answer{}, `its token_type is "", not Bearer`},
		{"another type", `{"access_token":"a","token_type":"DPoP","expires_in":60}`, Answer{}, `"DPoP"`},
		{"a type that is no text", `{"access_token":"a","token_type":{},"expires_in":60}`, Answer{}, "its token_type is not a string"},
		{"a scope that is no text", `{"access_token":"a","scope":[],` + lasting + `}`, Answer{}, "its scope is not a string"},
		{"no lifetime", `{"access_token":"a","token_type":"Bearer","expires_in":0}`, Answer{}, "lives 0 seconds"},
		{"a negative one", `{"access_token":"a","token_type":"Bearer","expires_in":-1}`, Answer{}, "lives -1 seconds"},
		{"none that is a number", `{"access_token":"a","token_type":"Bearer","expires_in":"soon"}`, Answer{}, `"soon"`},
		{"NaN", `{"access_token":"a","token_type":"Bearer","expires_in":"NaN"}`, Answer{}, "lives NaN seconds"},
		{"minus infinity", `{"access_token":"a","token_type":"Bearer","expires_in":-1e999}`, Answer{}, "not a number of seconds"},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			got, err := ParseAnswer([]byte(tt.body))
			require.Equal(t, tt.want, got)
			if tt.problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.problem)
		})
	}
}

func TestParseRefusal(t *testing.T) {
	none := http.Header{}
	for _, tt := range []struct {
		reason string
		status int
		header http.Header
		body   string
		want   Refusal
	}{
		{"as documented", 400, none, `{"error":"invalid_grant","error_description":"No. (trace_id: 3566-a)","error_uri":"https://x/errors/MP-121"}`,
			Refusal{Code: "invalid_grant", Description: "No.", URI: "https://x/errors/MP-121", MPCode: "MP-121", TraceID: "3566-a"}},
		{"the code in the description, an older id", 400, none, `{"error":"invalid_grant","error_description":"MP-121 (correlation id: 7) no"}`,
			Refusal{Code: "invalid_grant", Description: "MP-121  no", MPCode: "MP-121", TraceID: "7"}},
		{"fields that are no text", 400, none, `{"error":"invalid_scope","error_description":["x"],"error_uri":{}} trailing`, Refusal{Code: "invalid_scope"}},
		{"Maskinporten's forbidden", 403, none, `{"error":"forbidden"}`, Refusal{Code: "forbidden"}},
		{"a status in words, described", 401, none, `{"error":"Unauthorized","error_description":"x"}`, Refusal{Code: "Unauthorized", Description: "x"}},
		{"Spring's", 404, none, `{"status":404,"error":"Not Found","message":"no","path":"/x"}`, Refusal{Description: "Not Found: no: /x"}},
		{"Spring's in small letters", 404, none, `{"error":"Not found","path":"/x"}`, Refusal{Description: "Not found: /x"}},
		{"another framework's", 503, none, `{"error":"SERVICE_UNAVAILABLE"}`, Refusal{Description: "SERVICE_UNAVAILABLE"}},
		{"a code with a blank, which is no status", 400, none, `{"error":"invalid grant"}`, Refusal{Code: "invalid grant"}},
		{"problem details", 400, none, `{"title":"Blocked","detail":"by policy"}`, Refusal{Description: "Blocked: by policy"}},
		{"a title alone", 400, none, `{"title":"Blocked"}`, Refusal{Description: "Blocked"}},
		{"within", 400, none, `{"error":{"title":"Blocked"}}`, Refusal{Description: "Blocked"}},
		{"JSON that says nothing that is known", 400, none, `{"a":"b"}`, Refusal{Description: `{"a":"b"}`}},
		{"the same, with status 200", 200, none, `{"a":"b"}`, Refusal{}},
		{"a page with status 200", 200, none, "<html>\n<title>Logg inn</title>", Refusal{Description: "<html> … Logg inn"}},
		{"a page with a token in it", 200, none, "<a><access_token>x</access_token></a>", Refusal{}},
		{"a sentence with status 200", 200, none, "no healthy upstream", Refusal{Description: "no healthy upstream"}},
		{"a word of 30 characters", 200, none, strings.Repeat("a", 30), Refusal{Description: strings.Repeat("a", 30)}},
		{"a longer one may be a token", 200, none, strings.Repeat("a", 31), Refusal{}},
		{"a support id", 403, none, "<p>Your support ID is: 4518829357123456789.</p>", Refusal{Description: "<p>Your support ID is: 4518829357123456789.</p>", TraceID: "4518829357123456789"}},
		{"none beside a code", 400, none, `{"error":"invalid_grant","error_description":"see reference 12345"}`, Refusal{Code: "invalid_grant", Description: "see reference 12345"}},
		{"an id in a field", 400, none, `{"message":"x","correlationId":"c-1"}`, Refusal{Description: "x", TraceID: "c-1"}},
		{"a redirect", 302, http.Header{"Location": {"https://x/?secret"}}, "", Refusal{Description: "it redirects, which is not followed: the assertion would go along"}},
		{"a Location without a redirect", 400, http.Header{"Location": {"https://x/"}}, "no", Refusal{Description: "no"}},
		{"Retry-After", 503, http.Header{"Retry-After": {"7"}}, "", Refusal{RetryAfter: 7 * time.Second}},
		{"a known secret, and a person", 400, none, `{"error":"hush","error_description":"hush 123456 78901","error_uri":"hush"}`, Refusal{Code: "[hidden]", Description: "[hidden] [hidden]", URI: "[hidden]"}},
	} {
		t.Run(tt.reason, func(t *testing.T) {
			require.Equal(t, tt.want, ParseRefusal(tt.status, tt.header, []byte(tt.body), time.Now(), "hush"))
		})
	}
}
