package demo

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

var update = flag.Bool("update", false, "write the ladders in testdata/ladders anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryStepOfTheStory(t *testing.T) {
	var out strings.Builder
	ladders := map[string]string{}
	err := Run(t.Context(), Options{Out: &out, Width: 100, Version: "test", kept: func(name string, entries []journal.Entry) {
		ladders[name] = ladder(entries)
	}})
	require.NoError(t, err, out.String())
	require.NotContains(t, out.String(), "FAILED")
	require.Contains(t, out.String(), "All steps went as they should.")
	require.Equal(t, 4, strings.Count(out.String(), " hears "))

	for name, got := range ladders {
		file := filepath.Join("../../../../testdata/ladders", name+".txt")
		if *update {
			require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
			continue
		}
		want, err := os.ReadFile(file)
		require.NoError(t, err)
		assert.Equal(t, string(want), got, "go test ./cmd/stoxgate/internal/demo -update")
	}
}

// figures are what is different each time in the account of a call.
var figures = regexp.MustCompile(` after [^:]+: .*, MOS \S+,`)

// last says what closes a ladder, whenever it came: the end of his dialog and the account.
func last(e *journal.Entry) int {
	switch {
	case figures.MatchString(e.Note):
		return 2
	case e.Summary == "ended":
		return 1
	}
	return 0
}

// ladder draws a scene with what is the same each time: without the column of times, without
// presence, which has its own pace, and without the connecting of media.
func ladder(entries []journal.Entry) string {
	call := entries[slices.IndexFunc(entries, func(e journal.Entry) bool { return strings.HasPrefix(e.Flow, "c") })].Flow
	slices.SortStableFunc(entries, func(a, b journal.Entry) int { return last(&a) - last(&b) })
	var kept []journal.Entry
	for _, e := range entries {
		if e.Flow != call || strings.HasPrefix(e.Note, "media connected") {
			continue
		}
		e.At, e.Note = entries[0].At, figures.ReplaceAllString(e.Note, "")
		kept = append(kept, e)
	}
	const gutter = "    0.0000 "
	text := journal.Ladder(kept, journal.LadderOptions{Width: 110, Lanes: []string{"mira@" + xmppDomain, journal.Gateway}})
	text = strings.ReplaceAll(text, gutter, strings.Repeat(" ", len(gutter)))
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(strings.TrimPrefix(line, strings.Repeat(" ", len(gutter))), " \n") + "\n")
	}
	return b.String()
}
