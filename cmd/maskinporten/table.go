package main

import (
	"strings"

	"github.com/maskinporten-go/maskinporten/cmd/maskinporten/internal/console"
)

// table is what is printed in columns. Those in which no row has anything are
// left out.
type table struct {
	titles []string
	rows   []row
}

// row is a line of a table, and names with values that stand below it.
type row struct {
	cells []string
	below [][2]string
}

// maxCell is how wide a column may be. What is longer stands below its row;
// the last column has room to its right.
const maxCell = 24

func (t *tool) printTable(printed table) {
	if len(printed.rows) == 0 {
		return
	}
	last := len(printed.titles) - 1
	widths := make([]int, len(printed.titles))
	for i := range printed.rows {
		r := &printed.rows[i]
		for j, cell := range r.cells {
			if len([]rune(cell)) > maxCell && j < last {
				r.below = append([][2]string{{printed.titles[j], cell}}, r.below...)
				r.cells[j] = "…"
			}
			if cell != "" {
				widths[j] = max(widths[j], len([]rune(r.cells[j])), len([]rune(printed.titles[j])))
			}
		}
	}
	line := func(cells []string) string {
		var b strings.Builder
		for i, cell := range cells {
			if widths[i] > 0 {
				b.WriteString("  " + pad(cell, widths[i]))
			}
		}
		return strings.TrimRight(b.String(), " ")
	}
	t.console.Print("%s", t.console.Styled(console.Faint, line(printed.titles)))
	for _, r := range printed.rows {
		t.console.Print("%s", line(r.cells))
		for _, named := range r.below {
			if named[1] != "" {
				t.console.Print("      %s %s", pad(named[0], 12), named[1])
			}
		}
	}
}
