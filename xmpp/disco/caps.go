package disco

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	// ErrHash tells that a caps hash names a function that we do not compute;
	// such an answer holds for the one JID that gave it (XEP-0115 §5.4).
	ErrHash = errors.New("disco: caps hash function not supported")
	// ErrMismatch tells that an answer does not have the hash that was
	// announced, so it may not be kept for others.
	ErrMismatch = errors.New("disco: answer does not match the announced caps hash")
)

// HashSHA1 is the one hash function every implementation of XEP-0115 has.
const HashSHA1 = "sha-1"

// Caps is the <c/> element that rides on presence (XEP-0115 §4).
type Caps struct{ Hash, Node, Ver string }

// ParseCaps reads a <c/> element. ok is false for other elements and for the
// legacy format without hash, whose ver proves nothing (XEP-0115 §5.4 step 1).
func ParseCaps(e *xmpp.Element) (c Caps, ok bool) {
	if !e.Is(xmpp.NSCaps, "c") {
		return Caps{}, false
	}
	c = Caps{e.Attribute("hash"), e.Attribute("node"), e.Attribute("ver")}
	return c, c.Hash != "" && c.Node != "" && c.Ver != ""
}

// Element returns the <c/> element.
func (c Caps) Element() *xmpp.Element {
	return xmpp.NewElement(xmpp.NSCaps, "c").Set("hash", c.Hash).Set("node", c.Node).Set("ver", c.Ver)
}

// InfoNode is the disco#info node under which the features are asked for.
func (c Caps) InfoNode() string { return c.Node + "#" + c.Ver }

// Query returns the payload of the disco#info request that resolves the caps.
func (c Caps) Query() *xmpp.Element {
	return xmpp.NewElement(xmpp.NSDiscoInfo, "query").Set("node", c.InfoNode())
}

// Verification returns the XEP-0115 §5.1 verification string for SHA-1: what
// goes into the ver attribute of <c hash='sha-1'/>.
func (i Info) Verification() string {
	sum := sha1.Sum([]byte(i.verificationInput()))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// verificationInput builds the string S of XEP-0115 §5.1. A '<' inside a value
// stays the four characters "&lt;" that stood on the wire: turning it into the
// separator would let a name smuggle in features (§5.1, note).
func (i Info) verificationInput() string {
	var b strings.Builder
	ids := slices.Clone(i.Identities)
	slices.SortFunc(ids, Identity.compare)
	for _, id := range ids {
		for n, part := range [...]string{id.Category, id.Type, id.Lang, id.Name} {
			if n > 0 {
				b.WriteByte('/')
			}
			writeFactor(&b, part)
		}
		b.WriteByte('<')
	}
	for _, f := range i.Features.vars {
		writeFactor(&b, f)
		b.WriteByte('<')
	}
	forms := slices.Clone(i.Forms)
	slices.SortFunc(forms, func(a, c Form) int { return strings.Compare(a.Type, c.Type) })
	for _, f := range forms {
		writeFactor(&b, f.Type)
		b.WriteByte('<')
		fields := slices.Clone(f.Fields)
		slices.SortStableFunc(fields, func(a, c Field) int { return strings.Compare(a.Var, c.Var) })
		for _, field := range fields {
			writeFactor(&b, field.Var)
			b.WriteByte('<')
			values := slices.Sorted(slices.Values(field.Values))
			for _, v := range values {
				writeFactor(&b, v)
				b.WriteByte('<')
			}
		}
	}
	return b.String()
}

func writeFactor(b *strings.Builder, s string) {
	for {
		n := strings.IndexByte(s, '<')
		if n < 0 {
			b.WriteString(s)
			return
		}
		b.WriteString(s[:n])
		b.WriteString("&lt;")
		s = s[n+1:]
	}
}

// Verify checks an answer against the caps that announced it (XEP-0115 §5.4):
// nil when it may be believed for every JID that announces the same, ErrHash or
// ErrMismatch when it holds at most for the JID that gave it. An answer without
// an identity is not believed either: every entity has one (XEP-0030 §3.1), and
// lists without one are how a known hash is forged from shifted strings.
func (c Caps) Verify(i Info) error {
	if c.Hash != HashSHA1 {
		return fmt.Errorf("%w: %q", ErrHash, c.Hash)
	}
	if len(i.Identities) == 0 {
		return fmt.Errorf("%w: no identity", ErrMismatch)
	}
	if got := i.Verification(); got != c.Ver {
		return fmt.Errorf("%w: announced %q, computed %q", ErrMismatch, c.Ver, got)
	}
	return nil
}
