package benchmarks

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"golang.org/x/oauth2"
)

const (
	apiHost = "inntekt.api.skatteetaten-test.no"
	apiURL  = "https://" + apiHost + "/v1/otp/12345678901/inntekter?fraOgMed=2026-01&tilOgMed=2026-06"
)

// apiStub is an API that answers at once.
type apiStub struct{}

func (*apiStub) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
}

// roundTrips are the transports. azcore has none: its pipeline does the work,
// and it changes the request it is given, which the others copy.
var roundTrips = []struct {
	name string
	make func(t testing.TB, base http.RoundTripper, e *endpoint) func(*http.Request) (*http.Response, error)
}{
	{"bare base", func(_ testing.TB, base http.RoundTripper, _ *endpoint) func(*http.Request) (*http.Response, error) {
		return base.RoundTrip
	}},
	{"maskinporten Transport", func(t testing.TB, base http.RoundTripper, e *endpoint) func(*http.Request) (*http.Response, error) {
		transport, err := newClient(t, e, nil).Transport(request, base, apiHost)
		if err != nil {
			t.Fatal(err)
		}
		return transport.RoundTrip
	}},
	{"x/oauth2 Transport", func(_ testing.TB, base http.RoundTripper, e *endpoint) func(*http.Request) (*http.Response, error) {
		transport := &oauth2.Transport{Source: oauth2.ReuseTokenSource(nil, oauth2Source{e}), Base: base}
		return transport.RoundTrip
	}},
	{"ghinstallation Transport", func(t testing.TB, base http.RoundTripper, e *endpoint) func(*http.Request) (*http.Response, error) {
		return gitHub(t, e, base).RoundTrip
	}},
	{"azcore pipeline", func(_ testing.TB, base http.RoundTripper, e *endpoint) func(*http.Request) (*http.Response, error) {
		pipeline := azurePipeline(e, base)
		return func(req *http.Request) (*http.Response, error) {
			r, err := runtime.NewRequestFromRequest(req)
			if err != nil {
				return nil, err
			}
			return pipeline.Do(r)
		}
	}},
}

// BenchmarkRoundTrip is a call to an API, of which the time and allocations
// over the bare base's are the transport's own.
func BenchmarkRoundTrip(b *testing.B) {
	for _, r := range roundTrips {
		b.Run(r.name, func(b *testing.B) {
			roundTrip := r.make(b, &apiStub{}, newEndpoint(2*time.Hour))
			req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, apiURL, nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Accept", "application/json")
			req.Header.Set("User-Agent", "pensjonskassen/1.0")
			req.Header.Set("Korrelasjonsid", "3b2f6a52-8ec5-4f2c-a9a0-6f6d5c1f9d11")
			if _, err := roundTrip(req); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := roundTrip(req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
