package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// scenario is one thing that goes wrong. It returns what came of it, in words
// for a table, and whether that is as the library promises.
type scenario struct {
	fault   string
	virtual bool // in a bubble, where an hour takes no time
	meet    func(t *testing.T) (result string, right bool)
}

// TestFaults has the client meet each fault, and writes down what came of it.
func TestFaults(t *testing.T) {
	scenarios := slices.Concat(connections(), parts(), bounds())
	rows := make([]row, len(scenarios))
	// Those in bubbles keep the processors busy, and so come afterwards.
	for _, virtual := range []bool{false, true} {
		t.Run(map[bool]string{false: "real", true: "virtual"}[virtual], func(t *testing.T) {
			for i, s := range scenarios {
				if s.virtual == virtual {
					t.Run(s.fault, func(t *testing.T) {
						t.Parallel()
						rows[i] = s.write(t)
					})
				}
			}
		})
	}
	if file := os.Getenv(rowsFile); file != "" {
		text, err := json.Marshal(rows)
		if err == nil {
			err = os.WriteFile(file, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// write has the scenario's row written.
func (s scenario) write(t *testing.T) row {
	var result string
	var right bool
	meet := func(t *testing.T) { result, right = s.meet(t) }
	if s.virtual {
		synctest.Test(t, meet)
	} else {
		meet(t)
	}
	if t.Log(result); !right && holds() {
		t.Error("not as promised")
	}
	return row{s.fault, result}
}

// round returns d for a table.
func round(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// outcome is how a call ended after d.
func outcome(err error, d time.Duration) string {
	if err != nil {
		return "an error after " + round(d)
	}
	return "a token after " + round(d)
}
