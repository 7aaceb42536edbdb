package benchmarks

import (
	"context"
	"crypto"
	"crypto/rsa"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maskinporten-go/maskinporten"
)

// manyKeys is a large supplier's customers.
const manyKeys = 20_000

// fixedSigner signs nothing: twenty thousand signatures take half a minute,
// and the endpoints here do not look at them.
type fixedSigner struct{ *rsa.PrivateKey }

func (s fixedSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, s.Size()), nil
}

// customerRequests are for n customers, from the first-th on.
func customerRequests(first, n int) []maskinporten.Request {
	requests := make([]maskinporten.Request, 0, n)
	for _, org := range orgNumbers(first, n) {
		requests = append(requests, maskinporten.Request{Scope: scope, ConsumerOrg: org})
	}
	return requests
}

// orgNumbers are synthetic ones that pass the modulus 11 check (they begin
// with 3), none of them the certificate's own.
func orgNumbers(first, n int) []string {
	var numbers []string
	for base, skipped := 31_000_001, 0; len(numbers) < n; base++ {
		sum, digits := 0, make([]byte, 9)
		for i, rest := 7, base; i >= 0; i, rest = i-1, rest/10 {
			digits[i] = byte('0' + rest%10)
			sum += rest % 10 * [...]int{3, 2, 7, 6, 5, 4, 3, 2}[i]
		}
		check := (11 - sum%11) % 11
		if check == 10 {
			continue
		}
		if skipped++; skipped <= first {
			continue
		}
		digits[8] = byte('0' + check)
		numbers = append(numbers, string(digits))
	}
	return numbers
}

func fill(t testing.TB, client *maskinporten.Client, requests []maskinporten.Request) {
	t.Helper()
	for _, r := range requests {
		if _, err := client.Token(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// heap is what is in use once everything that can be collected has been.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestManyKeys measures what twenty thousand tokens of 900 bytes weigh, and
// that the weight goes when they have expired and a tenth as many new keys came.
func TestManyKeys(t *testing.T) {
	const most = 2253 // 2.2 KiB
	requests, later := customerRequests(0, manyKeys), customerRequests(manyKeys, manyKeys/10)
	cred, err := maskinporten.NewKeyCredential(fixedSigner{key(t, 2048)}, "kid") // no certificate: the bubble's clock is at another date
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		client := newClient(t, newEndpoint(2*time.Minute), cred)
		fill(t, client, requests[:1])
		before := heap()
		fill(t, client, requests[1:])
		full := heap()
		perEntry := (full - before) / (manyKeys - 1)
		entries := client.Stats().Entries

		time.Sleep(3 * time.Minute)
		fill(t, client, later)
		after := heap()
		expected := int64(len(later)) * perEntry

		report(t, "keys", [][]string{
			{"keys", "bytes per entry", "target", "in use when full", "after expiry and a tenth as many new keys", "entries then"},
			{count(int64(entries)), count(perEntry), "2,253 (2.2 KiB): " + met(perEntry <= most), mebibytes(full - before),
				mebibytes(after-before) + " (the new keys: " + mebibytes(expected) + ")", count(int64(client.Stats().Entries))},
		})
		if perEntry > most {
			t.Errorf("%d bytes per entry, at most %d allowed", perEntry, most)
		}
		if slack := int64(1 << 20); after-before > expected+slack {
			t.Errorf("%d bytes in use after expiry, expected about %d", after-before, expected)
		}
		if n := client.Stats().Entries; n != len(later) {
			t.Errorf("%d entries after expiry, expected %d", n, len(later))
		}
		runtime.KeepAlive(requests)
	})
}

// BenchmarkHotKey is a hit on one key: alone, and among twenty thousand.
func BenchmarkHotKey(b *testing.B) {
	hot := maskinporten.Request{Scope: scope, ConsumerOrg: orgNumbers(manyKeys, 1)[0]}
	for _, size := range []struct {
		name   string
		others int
	}{{"alone", 0}, {"among 20000", manyKeys}} {
		client := newClient(b, newEndpoint(2*time.Hour), newCredential(b, fixedSigner{key(b, 2048)}))
		fill(b, client, customerRequests(0, size.others))
		fill(b, client, []maskinporten.Request{hot})
		source, err := client.TokenSource(hot)
		if err != nil {
			b.Fatal(err)
		}
		ctx := context.Background()
		b.Run("TokenSource.TokenContext/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := source.TokenContext(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("Client.Token/"+size.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := client.Token(ctx, hot); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
