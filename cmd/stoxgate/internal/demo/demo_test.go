package demo

import (
	"flag"
	"fmt"
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
	"github.com/stoxgate/stoxgate/xmpp"
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
// presence, which has its own pace, and without the connecting of media. Below it are the
// messages of a call that was talked in.
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
	if slices.ContainsFunc(kept, func(e journal.Entry) bool { return e.Note == "both talk" }) {
		messages(&b, kept)
	}
	return b.String()
}

// messages writes what went over the wires.
func messages(b *strings.Builder, entries []journal.Entry) {
	for _, e := range entries {
		if e.Message == nil {
			continue
		}
		fmt.Fprintf(b, "\n%s → %s: %s\n\n", e.From, e.To, e.Summary)
		text := string(e.Message)
		if element, err := xmpp.ParseElement(e.Message); err == nil {
			text = indented(element, "", "")
		}
		for _, r := range chance {
			text = r.pattern.ReplaceAllString(text, r.with)
		}
		for line := range strings.Lines(strings.TrimRight(text, "\r\n")) {
			b.WriteString(strings.TrimRight("    "+line, " \r\n") + "\n")
		}
	}
}

// chance is what is made up for each call, ports among it.
var chance = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}`), "0b0d5f5e-0d55-4c42-9b6e-6f2a8f6a9c11"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:…"},
	{regexp.MustCompile(`(m=audio|Content-Length:|CSeq:|o=-|rport=) ?\d+`), "$1 …"},
	{regexp.MustCompile(`(;tag=|;branch=|Call-ID: )[^;\s@]+`), "$1…"},
	{regexp.MustCompile(`(/sip-|id='jg-)[0-9a-z-]+`), "$1…"},
	{regexp.MustCompile(`((?:ssrc|ufrag|port)=|name='cname' value=)'[^']*'`), "$1'…'"},
	{regexp.MustCompile(`( id=)'c[0-9a-v]{10}'`), "$1'…'"}, // of a candidate: made of its address
	{regexp.MustCompile(`(?:[0-9A-F]{2}:){31}[0-9A-F]{2}`), "4A:…:9F"},
}

// indented is an element with a line for each child.
func indented(e *xmpp.Element, parent, indent string) string {
	if len(e.Children) == 0 || e.Children[0].Elem == nil {
		return indent + string(e.Append(nil, parent)) + "\n"
	}
	open := *e
	open.Children = nil
	text := indent + strings.TrimSuffix(string(open.Append(nil, parent)), "/>") + ">\n"
	for child := range e.Elements() {
		text += indented(child, e.Name.Space, indent+" ")
	}
	return text + indent + "</" + e.Name.Local + ">\n"
}
