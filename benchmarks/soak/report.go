package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"time"
)

// render prints what was seen, and reports whether all promises were kept.
func render(faulty, control *world, counts map[string]int, p peaks, stalls []standstill, base, after int) bool {
	fmt.Println("| | with faults | control |\n|---|---|---|")
	row := func(what string, of func(*world) any) {
		fmt.Printf("| %s | %v | %v |\n", what, of(faulty), of(control))
	}
	row("lasted", func(*world) any { return *lasts })
	row("calls", func(w *world) any { return w.calls.Load() })
	row("of them without a token to be had", func(w *world) any { return w.failed.Load() })
	row("answered 401 (the token had just been revoked, and none was left in the budget)", func(w *world) any { return w.rejected.Load() })
	row("worst call", func(w *world) any { return time.Duration(w.worst.Load()).Round(time.Millisecond) })
	row("tokens verified", func(w *world) any { return w.verified.Load() })
	row("verifications without a key to be had", func(w *world) any { return w.unverified.Load() })
	row("token requests", func(w *world) any { w.server.mu.Lock(); defer w.server.mu.Unlock(); return w.server.asked })
	row("assertions that came twice", func(w *world) any {
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
		return w.server.repeated
	})
	row("fetches that failed, by code", func(w *world) any { return w.client.Stats().Failures })
	row("violations, the machine's included", func(w *world) any { return len(w.violations) })
	row("standstills of the machine", func(*world) any {
		var all time.Duration
		for _, s := range stalls {
			all += s.to.Sub(s.from)
		}
		return fmt.Sprintf("%d, %v in all", len(stalls), all.Round(time.Second/10))
	})

	fmt.Println("\n| what went wrong | times |\n|---|---|")
	for _, what := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf("| %s | %d |\n", what, counts[what])
	}
	fmt.Println("\n| bound | |\n|---|---|")
	fmt.Printf("| entries, at most %d | %d |\n", *keys, p.entries)
	fmt.Printf("| goroutines at the most, at the start and the end | %d, %d, %d |\n", p.goroutines, base, after)
	fmt.Printf("| heap at the first look and at the most | %.1f MiB, %.1f MiB |\n", float64(p.firstHeap)/(1<<20), float64(p.heap)/(1<<20))

	ok := faulty.server.repeated == 0
	if p.entries > *keys {
		ok = false
		fmt.Println("\nentries over their bound")
	}
	// A fetch has its own, those of two attempts and their streams, and at the
	// other end, which is in this process, as many again; and connections that
	// have gone dead keep theirs until that is noticed.
	if most := base + 2**callers + 20**keys; p.goroutines > most {
		ok = false
		fmt.Printf("\n%d goroutines, over the bound of %d\n", p.goroutines, most)
	}
	own := slices.DeleteFunc(slices.Clone(faulty.violations), func(v violation) bool {
		return shared(v, control.violations) || near(v, stalls)
	})
	fmt.Printf("\nviolations that are not the machine's: %d\n", len(own))
	list(own)
	fmt.Printf("\nviolations of the control: %d\n", len(control.violations))
	list(control.violations)
	return ok && len(own) == 0
}

// list prints each kind of violation once.
func list(violations []violation) {
	kinds := make(map[string][]violation)
	for _, v := range violations {
		kind := digits.ReplaceAllString(v.what, "#")
		kinds[kind] = append(kinds[kind], v)
	}
	for _, same := range kinds {
		fmt.Printf("%d times, first at %s: %s\n", len(same), same[0].at.Format("15:04:05.000"), same[0].what)
	}
}

var digits = regexp.MustCompile(`[0-9.]+(ms|µs|s)?`)

// near reports whether the machine stood still while v came about.
func near(v violation, stalls []standstill) bool {
	return slices.ContainsFunc(stalls, func(s standstill) bool {
		return s.from.Before(v.at) && s.to.Add(time.Second).After(v.from)
	})
}

// shared reports whether the control suffered anything in the same second.
func shared(v violation, control []violation) bool {
	return slices.ContainsFunc(control, func(c violation) bool { return c.at.Sub(v.at).Abs() < time.Second })
}
