package mapping

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/sip"
)

// reasonsDoc prints the tables of call reasons as the code has them.
func reasonsDoc() string {
	var b strings.Builder
	b.WriteString("# Why a call ends, on both sides\n\nPrinted from the tables in `callreasontables.go`; a test compares.\n\n")
	b.WriteString("## Jingle to SIP\n\nThe final response when the callee ends the session before it is accepted, the Reason of the CANCEL when the\n" +
		"caller does, and that of the BYE when it was accepted.\n\n| reason | final response | CANCEL | BYE | note |\n|---|---|---|---|---|\n")
	for _, r := range CallReasons() {
		status := fmt.Sprintf("%d %s", r.Status, sip.Text(r.Status))
		if r.Rang != r.Status {
			status += fmt.Sprintf("; after 180: %d %s", r.Rang, sip.Text(r.Rang))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.Condition, status, causes(r.CancelSIP, r.CancelQ850), causes(r.ByeSIP, r.ByeQ850), r.Note)
	}
	b.WriteString("\nThe reason of a `<reject/>`: none and busy 486, decline 603, any other 480.\n")
	b.WriteString("\n## SIP final responses to Jingle\n\n| SIP | reason | note |\n|---|---|---|\n")
	for _, r := range CallStatuses() {
		code := fmt.Sprintf("%d %s", r.Code, sip.Text(r.Code))
		if r.Class {
			code = fmt.Sprintf("other %dxx", r.Code/100)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code, r.Condition, note(r))
	}
	b.WriteString("\nThe Reason-Phrase becomes the text. A CANCEL is cancel; with Reason SIP;cause=200 its text is \"" + AnsweredElsewhere + "\".\n")
	b.WriteString("\n## BYE to Jingle\n\nWithout Reason it is success. A Reason of SIP counts as that final response, one of Q.850:\n\n| cause | reason | note |\n|---|---|---|\n")
	for _, r := range CallCauses() {
		code := fmt.Sprint(r.Code)
		if r.Class {
			code = "other"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", code, r.Condition, note(r))
	}
	return b.String()
}

func note(r CallStatusRow) string {
	if r.Text != "" {
		return fmt.Sprintf("text %q", r.Text)
	}
	return r.Note
}

func causes(inSIP, inQ850 int) string {
	var list []string
	if inSIP > 0 {
		list = append(list, fmt.Sprintf("SIP;cause=%d", inSIP))
	}
	if inQ850 > 0 {
		list = append(list, fmt.Sprintf("Q.850;cause=%d", inQ850))
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, ", ")
}

func TestReasonsDocIsPrintedFromTheCode(t *testing.T) {
	const file = "callreasons.md"
	want := reasonsDoc()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
	}
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, want, string(got), "run the tests of this package with -update")
}
