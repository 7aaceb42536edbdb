package endpoint

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckURL(t *testing.T) {
	for _, good := range []string{
		"https://maskinporten.no/", "https://sky.maskinporten.no", "https://x:8443/token", "http://127.0.0.1:1/token", "http://[::1]/", "http://LOCALHOST/",
	} {
		require.Empty(t, CheckURL(good), good)
	}
	for raw, says := range map[string]string{
		"":                             "is missing",
		"https://":                     "is not a URL",
		"https://:443/":                "is not a URL",
		"/token":                       "does not begin with https://",
		"maskinporten.no/token":        "does not begin with https://",
		"maskinporten.no:443/token":    "does not begin with https://",
		"mailto:a@b":                   "does not begin with https://",
		"http://maskinporten.no/":      "is not https",
		"http://127.0.0.1.example.no/": "is not https",
		"ftp://127.0.0.1/":             "is not https",
		"https://u:secret@x/":          "holds a user name or a password",
		"https://u:secret@x/%zz":       "is not a URL",
		"https://x/?a=b":               "has a query or a fragment",
		"https://x/?":                  "has a query or a fragment",
		"https://x/#":                  "has a query or a fragment",
		"https://x/#a":                 "has a query or a fragment",
		"https://x/token\n":            `holds white space: "https://x/token\n"`,
		" https://x/token":             `holds white space: " https://x/token"`,
		"https://x/\x00":               "holds white space",
	} {
		got := CheckURL(raw)
		require.Contains(t, got, says, raw)
		require.NotContains(t, got, "secret")
	}
}
