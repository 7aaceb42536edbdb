package endpoint

import (
	"net/http"
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
