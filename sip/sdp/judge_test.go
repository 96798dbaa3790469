package sdp

import (
	"path/filepath"
	"slices"
	"testing"

	pionsdp "github.com/pion/sdp/v3"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

// TestOthersReadIt: a strict parser that is not ours takes whatever we write, and finds the same media.
func TestOthersReadIt(t *testing.T) {
	for _, pattern := range []string{"../../testdata/sdp/*.txtar", "../../testdata/mapping/call/x2s-*.txtar"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			a, err := txtar.ParseFile(file)
			require.NoError(t, err)
			for _, f := range a.Files {
				if f.Name != "out" && f.Name != "sdp" {
					continue
				}
				d, err := Parse(f.Data)
				require.NoError(t, err, file)
				if slices.ContainsFunc(d.Media, func(m Media) bool { return m.Kind == "image" }) {
					continue // it knows no fax
				}
				var other pionsdp.SessionDescription
				require.NoError(t, other.Unmarshal(d.Append(nil)), file)
				require.Len(t, other.MediaDescriptions, len(d.Media), file)
				for i, m := range other.MediaDescriptions {
					require.Equal(t, d.Media[i].Kind, m.MediaName.Media, file)
					require.Equal(t, d.Media[i].Port, m.MediaName.Port.Value, file)
				}
			}
		}
	}
}
