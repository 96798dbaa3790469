package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	Line    int    // 0 when it stands nowhere, like a missing section
	Key     string // "sip.trunks[1].uri"; empty for the file as a whole
	Text    string // what is wrong
	Hint    string // what to do; may be empty
	Warning bool   // the program can run with it
}

// String returns "key: text; hint" without file and line.
func (p Problem) String() string {
	s := p.Text
	if p.Key != "" {
		s = p.Key + ": " + s
	}
	if p.Hint != "" {
		s += "; " + p.Hint
	}
	return s
}

// At returns the problem in the form of compilers, "file:line: key: text; hint",
// which editors can follow.
func (p Problem) At(file string) string {
	if p.Line > 0 {
		file = fmt.Sprintf("%s:%d", file, p.Line)
	}
	return file + ": " + p.String()
}

// Invalid is the error of a configuration file with problems: all of them.
type Invalid struct {
	File     string
	Problems []Problem
	Warnings []Problem
}

// Error lists the problems one a line.
func (e *Invalid) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.At(e.File)
	}
	return strings.Join(lines, "\n")
}

type problems []Problem

func (ps *problems) add(line int, key, hint, format string, args ...any) {
	*ps = append(*ps, Problem{Line: line, Key: key, Hint: hint, Text: fmt.Sprintf(format, args...)})
}

func (ps *problems) warn(line int, key, hint, format string, args ...any) {
	*ps = append(*ps, Problem{Line: line, Key: key, Hint: hint, Text: fmt.Sprintf(format, args...), Warning: true})
}

// has reports whether something is known to be wrong with a key.
func (ps problems) has(key string) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Key == key })
}

// sort orders by line; what stands nowhere comes last.
func (ps problems) sort() {
	place := func(p Problem) int {
		if p.Line == 0 {
			return 1 << 30
		}
		return p.Line
	}
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(place(a), place(b)) })
}

// didYouMean returns a hint that names the word closest to what was written, ""
// when none is close.
func didYouMean(written string, words []string) string {
	best, distance := "", max(1, len(written)/3)+1
	for _, w := range words {
		if d := editDistance(strings.ToLower(written), strings.ToLower(w)); d < distance {
			best, distance = w, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("did you mean %q?", best)
}

// editDistance counts insertions, deletions, replacements and swaps of
// neighbours (optimal string alignment) in bytes.
func editDistance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range above {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(b)]
}
