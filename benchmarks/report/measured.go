package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// measured holds, for each benchmark and unit, what every pass gave.
type measured map[string]map[string][]float64

var processors = regexp.MustCompile(`-\d+$`) // what go test puts behind a name

// read takes in the output of go test -bench.
func (m measured) read(output []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(output))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.ReplaceAll(processors.ReplaceAllString(fields[0], ""), "_", " ")
		if m[name] == nil {
			m[name] = make(map[string][]float64)
		}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return fmt.Errorf("%s: %w", lines.Text(), err)
			}
			m[name][fields[i+1]] = append(m[name][fields[i+1]], value)
		}
	}
	return lines.Err()
}

// median is NaN for what was not measured.
func (m measured) median(name, unit string) float64 {
	values := slices.Sorted(slices.Values(m[name][unit]))
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	return (values[n/2] + values[(n-1)/2]) / 2
}

func (m measured) max(name, unit string) float64 {
	if len(m[name][unit]) == 0 {
		return math.NaN()
	}
	return slices.Max(m[name][unit])
}

func (m measured) ns(name string) float64 { return m.median(name, "ns/op") }
