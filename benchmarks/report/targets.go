package main

import "fmt"

// The peers, as the benchmarks name them.
const (
	ours        = "maskinporten TokenSource.TokenContext"
	oursClient  = "maskinporten Client.Token"
	oursOAuth2  = "maskinporten TokenSource.Token in ReuseTokenSource"
	theirOAuth2 = "x/oauth2 ReuseTokenSource"
	theirAWS    = "aws CredentialsCache"
	theirGoogle = "google auth cached provider"
	theirAzure  = "azcore BearerTokenPolicy"
	theirGitHub = "ghinstallation Transport.Token"
)

var (
	peers      = []string{ours, oursClient, oursOAuth2, theirOAuth2, theirAWS, theirGoogle, theirAzure, theirGitHub}
	goroutines = []int{1, 2, 8, 10_000}
	transports = []string{"bare base", "maskinporten Transport", "x/oauth2 Transport", "ghinstallation Transport", "azcore pipeline"}
)

func hit(goroutines int, peer string) string {
	return fmt.Sprintf("BenchmarkHit/goroutines=%d/%s", goroutines, peer)
}

func roundTrip(transport string) string { return "BenchmarkRoundTrip/" + transport }

func expiry(mode, peer string) string { return "BenchmarkExpiry/" + mode + "/" + peer }

// target is what was asked for, and what was measured.
type target struct {
	what     string
	measured float64
	most     float64
	format   string
}

func targets(m measured) []target {
	var all []target
	add := func(what string, measured, most float64, format string) {
		all = append(all, target{what, measured, most, format})
	}
	for _, n := range goroutines[1:] {
		add(fmt.Sprintf("a hit with %d goroutines, of x/oauth2's time", n), m.ns(hit(n, ours))/m.ns(hit(n, theirOAuth2)), 0.5, "%.2f")
		add(fmt.Sprintf("a hit with %d goroutines, of AWS' time", n), m.ns(hit(n, ours))/m.ns(hit(n, theirAWS)), 1, "%.2f")
	}
	add("a hit with one goroutine, of x/oauth2's time", m.ns(hit(1, ours))/m.ns(hit(1, theirOAuth2)), 0.8, "%.2f")
	for _, n := range goroutines {
		add("Client.Token with "+plural(n)+", of x/oauth2's time", m.ns(hit(n, oursClient))/m.ns(hit(n, theirOAuth2)), 1, "%.2f")
	}
	add("allocations of a hit", m.max(hit(1, ours), "allocs/op")+m.max(hit(1, oursClient), "allocs/op"), 0, "%.0f")
	bare := m.ns(roundTrip("bare base"))
	add("RoundTrip over the bare base, of x/oauth2's time over it", (m.ns(roundTrip("maskinporten Transport"))-bare)/(m.ns(roundTrip("x/oauth2 Transport"))-bare), 0.6, "%.2f")
	add("allocations of a RoundTrip over the bare base's", m.median(roundTrip("maskinporten Transport"), "allocs/op")-m.median(roundTrip("bare base"), "allocs/op"), 3, "%.0f")
	add("worst call around an expiry under load, ms (median of the passes)", m.median(expiry("slow", ours), "worst-ms"), 5, "%.2f")
	add("worst call around an expiry in an outage, ms (median of the passes)", m.median(expiry("outage", ours), "worst-ms"), 5, "%.2f")
	add("a grant, made and sent, of its signature's time (RSA-2048, x5c of three)", m.median("BenchmarkMint/bits=2048/maskinporten with x5c of three", "x-sign"), 1.05, "%.3f")
	for _, by := range []string{"TokenSource.TokenContext", "Client.Token"} {
		add("a hit on one key among 20,000, of its time alone, "+by, m.ns("BenchmarkHotKey/"+by+"/among 20000")/m.ns("BenchmarkHotKey/"+by+"/alone"), 1.2, "%.2f")
	}
	return all
}

func (t target) row() []string {
	verdict := "**not met**"
	if t.measured <= t.most {
		verdict = "met"
	}
	return []string{t.what, fmt.Sprintf("%g", t.most), fmt.Sprintf(t.format, t.measured), verdict}
}
