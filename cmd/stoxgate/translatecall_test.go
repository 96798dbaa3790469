package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the golden files in testdata/translate anew")

// TestTranslateCalls runs the files in testdata/translate. Lines of the comment are free text,
// or "args: " with flags; the file "in" is the input, "offer" is given with --offer; "out",
// "err" and "code" (other than 0) are what comes of it.
func TestTranslateCalls(t *testing.T) {
	files, err := filepath.Glob("testdata/translate/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			require.NoError(t, err)
			args := []string{"translate", "--time", "2026-11-20T12:00:00Z"}
			for line := range strings.Lines(string(a.Comment)) {
				if flags, ok := strings.CutPrefix(line, "args: "); ok {
					args = append(args, strings.Fields(flags)...)
				}
			}
			var in string
			var kept []txtar.File
			for _, f := range a.Files {
				switch f.Name {
				case "in":
					in = string(f.Data)
				case "offer":
					path := filepath.Join(t.TempDir(), "offer")
					require.NoError(t, os.WriteFile(path, f.Data, 0o600))
					args = append(args, "--offer", path)
				default:
					continue
				}
				kept = append(kept, f)
			}
			want := string(txtar.Format(a))
			r := execute(t, in, args...)
			add := func(name, text string) {
				if text != "" {
					kept = append(kept, txtar.File{Name: name, Data: []byte(strings.ReplaceAll(text, "\r\n", "\n"))})
				}
			}
			add("out", r.out)
			add("err", r.err)
			if r.code != exitOK {
				add("code", fmt.Sprintln(r.code))
			}
			a.Files = kept
			got := string(txtar.Format(a))
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				return
			}
			assert.Equal(t, want, got, "go test ./cmd/stoxgate -run TestTranslateCalls -update")
		})
	}
}

// What a client offers reaches another client over two gateways like this one, under the same
// session id.
func TestTranslateCallRoundTrip(t *testing.T) {
	a, err := txtar.ParseFile("testdata/translate/x2s-initiate.txtar")
	require.NoError(t, err)
	there := execute(t, string(a.Files[0].Data), "translate")
	require.Equal(t, exitOK, there.code, there.err)
	back := execute(t, there.out, "translate", "--direct")
	require.Equal(t, exitOK, back.code, back.err)
	for _, want := range []string{
		"sid='0b0d5f5e-0d55-4c42-9b6e-6f2a8f6a9c11'", "name='opus'", "ufrag='gw7Q'", "setup='actpass'", "port='40020'", "<rtcp-mux/>",
	} {
		assert.Contains(t, back.out, want)
	}
}
