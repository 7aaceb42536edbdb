package benchmarks

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"
)

// BenchmarkMint is a token from nothing, beside the bare signature. The
// endpoint answers at once.
//
// The signature takes a millisecond and more, and on a busy machine differs by
// more than what is looked for. So each fetch also times the signature within
// it: x-sign is the median over the fetches of the time until the grant is at
// the endpoint, divided by that of its own signature; x-sign-fetch the same
// until the caller has the token.
func BenchmarkMint(b *testing.B) {
	for _, bits := range []int{2048, 3072, 4096} {
		b.Run(fmt.Sprintf("bits=%d/bare rsa.SignPKCS1v15", bits), func(b *testing.B) {
			signer := key(b, bits)
			digest := sha256.Sum256([]byte("header.payload"))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rsa.SignPKCS1v15(rand.Reader, signer, crypto.SHA256, digest[:]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("bits=%d/maskinporten with x5c of three", bits), func(b *testing.B) {
			signer := &timedSigner{PrivateKey: key(b, bits)}
			wire := &arrival{RoundTripper: newEndpoint(2 * time.Hour)}
			client := newClient(b, wire, newCredential(b, signer))
			ctx := context.Background()
			var grant, fetch []float64
			b.ReportAllocs()
			for b.Loop() {
				start := time.Now()
				token, err := client.Token(ctx, request)
				if err != nil {
					b.Fatal(err)
				}
				fetch = append(fetch, float64(time.Since(start))/float64(signer.took))
				grant = append(grant, float64(wire.at.Sub(start))/float64(signer.took))
				client.Invalidate(token.AccessToken())
			}
			b.ReportMetric(median(grant), "x-sign")
			b.ReportMetric(median(fetch), "x-sign-fetch")
		})
	}
}

// timedSigner remembers how long its last signature took.
type timedSigner struct {
	*rsa.PrivateKey
	took time.Duration
}

func (s *timedSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	start := time.Now()
	defer func() { s.took = time.Since(start) }()
	return rsa.SignPKCS1v15(random, s.PrivateKey, opts.HashFunc(), digest)
}

// arrival remembers when the last request came.
type arrival struct {
	http.RoundTripper
	at time.Time
}

func (a *arrival) RoundTrip(req *http.Request) (*http.Response, error) {
	a.at = time.Now()
	return a.RoundTripper.RoundTrip(req)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
