package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// render is RESULTS.md.
func render(m measured, dir, machine string) string {
	var b strings.Builder
	section := func(title, text string) { fmt.Fprintf(&b, "\n## %s\n\n%s", title, text) }
	left := func(name string) string {
		text, err := os.ReadFile(filepath.Join(dir, name+".md"))
		if err != nil {
			return "Not measured.\n"
		}
		return string(text)
	}
	b.WriteString("# Results\n\n" + machine + `
Every benchmark was run in each pass, all peers in turn; the tables hold medians over the passes. No test fails on a time.
All token endpoints are the same stub in memory, with tokens of 900 bytes.
`)
	rows := [][]string{{"target", "at most", "measured", ""}}
	for _, t := range targets(m) {
		rows = append(rows, t.row())
	}
	section("Targets", table(rows))
	section("A hit", hits(m))
	section("A RoundTrip", trips(m))
	section("A cold burst", cold(m))
	section("An expiry under load", expiries(m))
	section("Minting", mints(m))
	section("Twenty thousand keys", left("keys")+"\n"+hotKeys(m))
	section("Faults", faultsIntro+left("faults"))
	section("Soak", soakIntro+left("soak"))
	section("Customers of one supplier", left("customers"))
	return b.String()
}

const faultsIntro = `Through a TCP proxy, with the library's own HTTP client and its time limits, against the fake Maskinporten on a loopback address.

`

const soakIntro = `200 goroutines call an API through the Transport, with tokens of two seconds. The token endpoint fails three times in ten, and after
every four seconds is gone for one.

`

func hits(m measured) string {
	head := []string{"ns a call"}
	for _, n := range goroutines {
		head = append(head, plural(n), "of x/oauth2's")
	}
	rows := [][]string{append(head, "allocations")}
	for _, p := range peers {
		row := []string{p}
		for _, n := range goroutines {
			row = append(row, fmt.Sprintf("%.1f", m.ns(hit(n, p))), fmt.Sprintf("%.2f", m.ns(hit(n, p))/m.ns(hit(n, theirOAuth2))))
		}
		rows = append(rows, append(row, fmt.Sprintf("%.0f", m.median(hit(1, p), "allocs/op"))))
	}
	return table(rows) + `
x/oauth2 takes no context; Google's, AWS', azcore's and ghinstallation's do. azcore offers its cache through a pipeline only,
so that its figure holds a whole request (and its retry policy, which a pipeline always has).
A machine's call to time.Now is most of every peer's time; this library reads the wall clock once a millisecond, and the monotonic one on each call.
`
}

func plural(goroutines int) string {
	if goroutines == 1 {
		return "1 goroutine"
	}
	return fmt.Sprintf("%d goroutines", goroutines)
}

func trips(m measured) string {
	bare := roundTrip("bare base")
	over := func(t string) float64 { return m.ns(roundTrip(t)) - m.ns(bare) }
	rows := [][]string{{"", "ns a call", "over the bare base", "of x/oauth2's", "allocations over the bare base"}}
	for _, t := range transports {
		rows = append(rows, []string{t, fmt.Sprintf("%.0f", m.ns(roundTrip(t))), fmt.Sprintf("%.0f", over(t)),
			fmt.Sprintf("%.2f", over(t)/over("x/oauth2 Transport")), fmt.Sprintf("%.0f", m.median(roundTrip(t), "allocs/op")-m.median(bare, "allocs/op"))})
	}
	return "A GET with three headers against an API stub.\n\n" + table(rows) + "\nazcore's pipeline makes its own kind of request around the given one.\n"
}

func cold(m measured) string {
	rows := [][]string{{"", "ms until all have a token", "fetches"}}
	for _, p := range peers {
		name := "BenchmarkCold/" + p
		rows = append(rows, []string{p, fmt.Sprintf("%.1f", m.ns(name)/1e6), fmt.Sprintf("%.1f", m.median(name, "fetches/burst"))})
	}
	return "A thousand callers at once find no token; the endpoint takes 20 ms. Ours and ghinstallation sign a grant in that time, the others do not.\n\n" + table(rows)
}

func expiries(m measured) string {
	rows := [][]string{{"", "slow: calls a second", "worst call, ms", "the worst of all passes", "outage: calls a second", "worst call, ms", "calls lost though a token lived"}}
	for _, p := range peers {
		row := []string{p}
		for _, mode := range []string{"slow", "outage"} {
			name := expiry(mode, p)
			row = append(row, fmt.Sprintf("%.0f", m.median(name, "calls/s")), fmt.Sprintf("%.2f", m.median(name, "worst-ms")))
			if mode == "slow" {
				row = append(row, fmt.Sprintf("%.2f", m.max(name, "worst-ms")))
			}
		}
		rows = append(rows, append(row, fmt.Sprintf("%.0f", m.median(expiry("outage", p), "lost"))))
	}
	return `Twenty callers, each with a pause of a millisecond between its calls. Slow: the endpoint takes 200 ms. Outage: it takes 200 ms and then fails,
from before the refresh on. Each peer's tokens live as long as it takes to have it look for the next one after a second and a half, by the margin it has:
a quarter of the lifetime (ours), 10 s (x/oauth2), none (AWS), 225 s (Google), 60 s (ghinstallation); azcore asks again within five minutes of the end, but
only every 30 s, so here at the end itself. Google's refreshes in the background, as this library does, but within a margin
that is longer than the life of Maskinporten's tokens, and after a failure not again before the end.

![latency of every call around an expiry](expiry.svg)

` + table(rows)
}

func mints(m measured) string {
	rows := [][]string{{"", "bare rsa.SignPKCS1v15, ms", "a token from nothing, ms", "grant made and sent, of its own signature's time", "the whole fetch, of it"}}
	for _, bits := range []int{2048, 3072, 4096} {
		bare, full := fmt.Sprintf("BenchmarkMint/bits=%d/bare rsa.SignPKCS1v15", bits), fmt.Sprintf("BenchmarkMint/bits=%d/maskinporten with x5c of three", bits)
		rows = append(rows, []string{fmt.Sprintf("RSA-%d", bits), fmt.Sprintf("%.2f", m.ns(bare)/1e6), fmt.Sprintf("%.2f", m.ns(full)/1e6),
			fmt.Sprintf("%.3f", m.median(full, "x-sign")), fmt.Sprintf("%.3f", m.median(full, "x-sign-fetch"))})
	}
	return "With a chain of three certificates in x5c. The last two columns are medians over the fetches of a ratio taken within each, so that a busy machine weighs on both sides alike.\n\n" + table(rows)
}

func hotKeys(m measured) string {
	rows := [][]string{{"a hit on one key, ns", "alone", "among 20,000", "ratio"}}
	for _, by := range []string{"TokenSource.TokenContext", "Client.Token"} {
		alone, among := m.ns("BenchmarkHotKey/"+by+"/alone"), m.ns("BenchmarkHotKey/"+by+"/among 20000")
		rows = append(rows, []string{by, fmt.Sprintf("%.1f", alone), fmt.Sprintf("%.1f", among), fmt.Sprintf("%.2f", among/alone)})
	}
	return table(rows)
}

func table(rows [][]string) string {
	var b strings.Builder
	for i, row := range rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		if i == 0 {
			b.WriteString(strings.Repeat("|---", len(row)) + "|\n")
		}
	}
	return b.String()
}
