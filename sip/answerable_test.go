package sip

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever passes CheckRequest can be answered: an answer copies fields of the request, and a
// Writer refuses control characters in them, and long heads.
func TestWhatPassesCanBeAnswered(t *testing.T) {
	tests := []struct {
		name, field, value string
		code               int // 0: passes
	}{
		{"as it should be", "Call-ID", "x", 0},
		{"control in Call-ID", "Call-ID", "a\x01b", 400},
		{"half a line end", "Call-ID", "a\nb", 400},
		{"control in a display name", "From", "\"a\x01b\" <sip:a@b>;tag=1", 400},
		{"backslash in a display name", "From", "a\\ <sip:a@b>;tag=1", 400},
		{"control in a tag", "From", "<sip:a@b>;tag=1\x01", 400},
		{"control in a URI", "From", "<sip:a@b;x=\x01>;tag=1", 400},
		{"control in Via", "Via", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx\x02", 400},
		{"control in another Via", "Extra", "Via: garbage\x01", 400},
		{"control in Record-Route", "Extra", "Record-Route: <sip:a\x01;lr>", 400},
		{"control in a field that is not copied", "Extra", "Subject: \x01", 0},
		{"long Via", "Extra", "Via: SIP/2.0/UDP x;branch=" + strings.Repeat("a", 26<<10), 513},
		{"long Subject", "Extra", "Subject: " + strings.Repeat("a", 26<<10), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := map[string]string{"Via": "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx", "From": "<sip:a@b>;tag=1", "Call-ID": "x", "Extra": "X: y"}
			f[tt.field] = tt.value
			msg, err := ParseMessage([]byte("MESSAGE sip:c@d SIP/2.0\r\nVia: " + f["Via"] + "\r\nFrom: " + f["From"] + "\r\nTo: <sip:c@d>\r\nCall-ID: " + f["Call-ID"] +
				"\r\nCSeq: 1 MESSAGE\r\n" + f["Extra"] + "\r\nContent-Length: 0\r\n\r\n"))
			require.NoError(t, err)
			st := CheckRequest(msg.(*Request))
			if tt.code != 0 {
				require.NotNil(t, st)
				require.Equal(t, tt.code, st.Code)
				return
			}
			require.Nil(t, st)
			_, err = AppendMessage(nil, NewResponse(msg.(*Request), Status{Code: 200}, "tag"))
			require.NoError(t, err)
		})
	}
}
