package registrar

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/ua"
)

// Binding is one contact of one AOR.
type Binding struct {
	AOR string // key of the AOR, see sip.URI.Key
	// ID names the binding within its AOR and stays the same over refreshes:
	// instance and reg-id of an outbound flow, else the contact as first written.
	ID       string
	Contact  sip.URI    // Request-URI for this phone
	Params   sip.Params // contact parameters but expires, q, reg-id and +sip.instance
	Q        int        // 0–1000, 1000 when the phone gave none
	Instance string     // URN of +sip.instance without brackets, or ""
	RegID    int        // 1–2^31-1 for an outbound flow, else 0

	CallID string // of the REGISTER that made or refreshed it
	CSeq   uint32

	Registered time.Time // first made
	Updated    time.Time // last refreshed
	Expires    time.Time

	Path      []sip.NameAddr // Route for requests to the contact, first hop first
	Transport string         // of the REGISTER: udp, tcp, tls, ws, wss
	Source    netip.AddrPort // of the REGISTER
	ToSource  bool           // UDP: send to Source, not to where the contact points
	Flow      ua.Flow        // the connection (or socket and address) to use while it is there
	Connected bool           // the binding ends with its connection; never in the store
	UserAgent string
}

// Expired tells whether the binding has ended.
func (b *Binding) Expired(now time.Time) bool { return !now.Before(b.Expires) }

// GRUU is the public GRUU of the phone (RFC 5627 §3.1); zero without an instance.
func (b *Binding) GRUU() sip.URI {
	if b.Instance == "" {
		return sip.URI{}
	}
	u, err := sip.ParseURI(b.AOR)
	if err != nil {
		return sip.URI{}
	}
	u.Params.Set("gr", b.Instance)
	return u
}

// sortBindings orders as requests are to be tried: q, then newest first.
func sortBindings(list []Binding) {
	slices.SortStableFunc(list, func(a, b Binding) int {
		if c := cmp.Compare(b.Q, a.Q); c != 0 {
			return c
		}
		if c := b.Updated.Compare(a.Updated); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}
