package benchmarks

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"flag"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/maskinporten-go/maskinporten"
	"github.com/maskinporten-go/maskinporten/maskinportentest"
)

var customers = flag.Int("customers", 500, "how many customers TestCustomers has")

const customerConcurrency = 50

// TestCustomers is a supplier: one client, a transport for each customer, a
// round of fetching, and then a call for each customer at the same moment.
func TestCustomers(t *testing.T) {
	fake := maskinportentest.New()
	fake.SetTokenLifetime(time.Hour) // a round may take longer than the usual two minutes
	cfg := fake.Config()
	client, err := maskinporten.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var calls, mixed atomic.Int64
	api := maskinportentest.HandlerTransport(fake.Guard(scope, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		consumer := string(maskinportentest.ClaimsFromContext(r.Context()).Consumer)
		if strings.TrimPrefix(r.URL.Path, "/") != consumer {
			mixed.Add(1)
		}
		fmt.Fprint(w, consumer)
	})))
	requests := customerRequests(0, *customers)

	transports := make([]*maskinporten.Transport, len(requests))
	before := heap()
	start := time.Now()
	for i, r := range requests {
		if transports[i], err = client.Transport(r, api, apiHost); err != nil {
			t.Fatal(err)
		}
	}
	making := time.Since(start)
	perTransport := (heap() - before) / int64(len(requests))
	if perTransport >= 1000 {
		t.Errorf("%d bytes per transport", perTransport)
	}

	bare := signingRate(t, len(requests)/10)
	start = time.Now()
	if err := client.Prefetch(context.Background(), requests, customerConcurrency, nil); err != nil {
		t.Fatal(err)
	}
	againstFake := rate(len(requests), time.Since(start))
	asked := fake.TokenRequests()

	start = time.Now()
	callAll(t, transports, requests)
	calling := time.Since(start)
	if n := mixed.Load(); n > 0 {
		t.Errorf("%d calls carried another customer's token", n)
	}
	if n := int(calls.Load()); n != len(requests) {
		t.Errorf("%d calls arrived, %d were made", n, len(requests))
	}
	if n := fake.TokenRequests(); asked != len(requests) || n != asked {
		t.Errorf("%d token requests, and %d after the calls, for %d customers", asked, n, len(requests))
	}

	againstStub, full := roundAgainstStub(t, requests)
	report(t, "customers", [][]string{
		{"", ""},
		{"customers of one client", count(int64(len(requests)))},
		{"their transports made in", fmt.Sprintf("%s, %s each", round(making), (making / time.Duration(len(requests))).Round(10*time.Nanosecond))},
		{"a transport, without token", count(perTransport) + " bytes (target: under 1 KB, " + met(perTransport < 1000) + ")"},
		{"all transports with their tokens", fmt.Sprintf("%s, %s bytes each", mebibytes(full), count(full/int64(len(requests))))},
		{"bare signatures, RSA-2048, all processors", fmt.Sprintf("%.0f a second", bare)},
		{fmt.Sprintf("a round of fetching, %d at a time, from an endpoint that answers at once", customerConcurrency),
			fmt.Sprintf("%.0f tokens a second (%.2f of the bare rate)", againstStub, againstStub/bare)},
		{fmt.Sprintf("the same from the fake, which verifies one signature and makes another, %d at a time", customerConcurrency),
			fmt.Sprintf("%.0f tokens a second (%.2f of the bare rate)", againstFake, againstFake/bare)},
		{"a call for every customer at the same moment", fmt.Sprintf("%s calls in %s", count(calls.Load()), round(calling))},
		{"of them with another customer's token", count(mixed.Load())},
		{"token requests for them", count(int64(fake.TokenRequests() - asked))},
	})
	runtime.KeepAlive(requests)
}

// callAll calls for every customer at once.
func callAll(t *testing.T, transports []*maskinporten.Transport, requests []maskinporten.Request) {
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i, transport := range transports {
		ready.Add(1)
		done.Go(func() {
			req, err := http.NewRequest(http.MethodGet, "https://"+apiHost+"/"+requests[i].ConsumerOrg, nil)
			ready.Done()
			if err != nil {
				t.Error(err)
				return
			}
			<-begin
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("customer %s was answered %s", requests[i].ConsumerOrg, resp.Status)
			}
		})
	}
	ready.Wait()
	close(begin)
	done.Wait()
}

// roundAgainstStub fetches for all from an endpoint in memory, and weighs what
// transports and tokens hold together.
func roundAgainstStub(t *testing.T, requests []maskinporten.Request) (tokensPerSecond float64, full int64) {
	client := newClient(t, newEndpoint(time.Hour), nil)
	before := heap()
	transports := make([]*maskinporten.Transport, len(requests))
	for i, r := range requests {
		var err error
		if transports[i], err = client.Transport(r, nil, apiHost); err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	if err := client.Prefetch(context.Background(), requests, customerConcurrency, nil); err != nil {
		t.Fatal(err)
	}
	took := time.Since(start)
	full = heap() - before
	runtime.KeepAlive(transports)
	runtime.KeepAlive(client)
	return rate(len(requests), took), full
}

// signingRate is how many signatures the machine makes a second, on all of its
// processors.
func signingRate(t *testing.T, signatures int) float64 {
	signer := key(t, 2048)
	digest := sha256.Sum256(nil)
	each := signatures/runtime.GOMAXPROCS(0) + 1
	var all sync.WaitGroup
	start := time.Now()
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for range each {
				if _, err := rsa.SignPKCS1v15(rand.Reader, signer, crypto.SHA256, digest[:]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	return rate(each*runtime.GOMAXPROCS(0), time.Since(start))
}

func rate(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }
