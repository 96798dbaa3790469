package mapping

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// errorsDoc prints both tables of RFC 7247 §7 as the code has them.
func errorsDoc() string {
	var b strings.Builder
	b.WriteString("# Errors on both sides\n\nPrinted from the tables in `errortables.go`; a test compares. RFC 7247 §7.\n\n")
	b.WriteString("## XMPP to SIP\n\n| stanza error | SIP | note |\n|---|---|---|\n")
	for _, r := range Conditions() {
		code := fmt.Sprint(r.Device)
		if r.Account != r.Device {
			code = fmt.Sprintf("%d from a device, %d from the account", r.Device, r.Account)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.Condition, code, r.Note)
	}
	b.WriteString("\n## SIP to XMPP\n\n| SIP | stanza error | type | note |\n|---|---|---|---|\n")
	for _, r := range Statuses() {
		code := fmt.Sprint(r.Code)
		if r.Class {
			code = fmt.Sprintf("other %dxx", r.Code/100)
		}
		note := r.Note
		if r.Source != "RFC 7247" {
			note = strings.TrimSpace("not in the RFC; " + note)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", code, r.Condition, r.Type, strings.TrimSuffix(note, ";"))
	}
	return b.String()
}

func TestErrorsDocIsPrintedFromTheCode(t *testing.T) {
	const file = "errors.md"
	want := errorsDoc()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run the tests of this package with -update")
}
