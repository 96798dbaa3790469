package interwork

import (
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"sync/atomic"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

// flowIDs makes correlation ids: a letter for the kind of flow, a random prefix for the
// process, and a number.
type flowIDs struct {
	prefix string
	n      atomic.Uint64
}

func (f *flowIDs) init() {
	var b [3]byte
	_, _ = rand.Read(b[:])
	f.prefix = base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:])
}

func (f *flowIDs) next(kind byte) string {
	b := make([]byte, 0, 24)
	b = append(b, kind, '-')
	b = append(b, f.prefix...)
	b = append(b, '-')
	return string(strconv.AppendUint(b, f.n.Add(1), 36))
}

// rawStanza and rawRequest render what the journal may want to keep, when it does.
func rawStanza(s xmpp.Stanza) func() []byte { return func() []byte { return s.Append(nil) } }

func rawRequest(r *sip.Request) func() []byte {
	return func() []byte {
		raw, _ := sip.AppendMessage(nil, r) // what may not be sent has no bytes
		return raw
	}
}
