package main

import (
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/config"
)

// table prints rows in aligned columns.
type table struct {
	rows  [][]string
	width []int
}

func newTable(heading ...string) *table {
	t := &table{width: make([]int, len(heading))}
	t.row(heading...)
	return t
}

func (t *table) row(cells ...string) {
	for i := range cells {
		cells[i] = printable([]byte(strings.Join(strings.Fields(cells[i]), " ")))
		t.width[i] = max(t.width[i], utf8.RuneCountInString(cells[i]))
	}
	t.rows = append(t.rows, cells)
}

func (t *table) print(w io.Writer) error {
	var b strings.Builder
	for _, cells := range t.rows {
		line := ""
		for i, cell := range cells {
			line += cell + strings.Repeat(" ", t.width[i]-utf8.RuneCountInString(cell)+2)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// terminalWidth returns the columns of the terminal behind w, else COLUMNS,
// else 120.
func terminalWidth(w io.Writer, env config.Environment) int {
	if f, ok := w.(*os.File); ok {
		if n := columns(f); n > 20 {
			return n
		}
	}
	if text, ok := env("COLUMNS"); ok {
		if n, err := strconv.Atoi(text); err == nil && n > 20 {
			return n
		}
	}
	return 120
}
