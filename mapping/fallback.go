package mapping

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/stoxgate/stoxgate/xmpp"
)

// What XMPP messages say beyond text and SIP has no word for becomes readable text: corrections (XEP-0308) are
// the new text behind "* ", reactions (XEP-0444) and retractions (XEP-0424) are a sentence, replies (XEP-0461)
// keep the quote that their fallback brings (XEP-0428). Encrypted messages (XEP-0380) are refused: the text
// beside the ciphertext is not what the sender wrote.

const (
	correctionMark = "* "
	textRetracted  = "(retracted a previous message)"
	textReacted    = "(reacted with "
	textEncrypted  = "end-to-end encrypted messages cannot be read on the SIP side; please send this one unencrypted"
	textLostFile   = "this file cannot be fetched from the SIP side; please send it unencrypted"
	textNoGroup    = "group chat messages cannot be sent to a SIP user"
)

// secrecy is what an element says about end-to-end encryption.
type secrecy uint8

const (
	unencrypted secrecy = iota
	keyOnly             // key material without a message; clients send it by themselves, and nobody misses it
	marked              // XEP-0380: something in this message is encrypted
	ciphertext          // an encrypted message
)

// encryption tells what the element says about encryption, and its name.
func encryption(e *xmpp.Element) (s secrecy, scheme string) {
	switch e.Name.Space {
	case xmpp.NSOMEMOLegacy, xmpp.NSOMEMO, "urn:xmpp:omemo:1", "urn:xmpp:omemo:0":
		if e.Name.Local == "encrypted" {
			if e.Child(e.Name.Space, "payload") == nil {
				return keyOnly, "OMEMO"
			}
			return ciphertext, "OMEMO"
		}
	case xmpp.NSOpenPGP:
		if e.Name.Local == "openpgp" {
			return ciphertext, "OpenPGP"
		}
	case xmpp.NSOpenPGPLegacy:
		if e.Name.Local == "x" {
			return ciphertext, "OpenPGP"
		}
	case xmpp.NSEME:
		if e.Name.Local == "encryption" {
			return marked, markedScheme(e)
		}
	}
	return unencrypted, ""
}

func markedScheme(e *xmpp.Element) string {
	switch e.Attribute("namespace") {
	case xmpp.NSOTR:
		return "OTR"
	case xmpp.NSOpenPGP, xmpp.NSOpenPGPLegacy:
		return "OpenPGP"
	case xmpp.NSOMEMOLegacy, xmpp.NSOMEMO, "urn:xmpp:omemo:1", "urn:xmpp:omemo:0":
		return "OMEMO"
	}
	if name := cleanLine(e.Attribute("name"), 64); name != "" {
		return name
	}
	return "encryption"
}

// isOTR: OTR has no element of its own, its ciphertext is the body (XEP-0364 §2).
func isOTR(body string) bool { return strings.HasPrefix(body, "?OTR") }

// isCopy tells the wrappers of messages that were sent before: carbons, archive results, forwarded messages
// that a server brings (XEP-0280, XEP-0313). What is in them was delivered already.
func isCopy(e *xmpp.Element) bool {
	switch e.Name.Space {
	case xmpp.NSCarbons:
		return e.Name.Local == "sent" || e.Name.Local == "received"
	case xmpp.NSMAM, "urn:xmpp:mam:1", "urn:xmpp:mam:0":
		return e.Name.Local == "result"
	}
	return false
}

// region is a part of a body in code points (XEP-0426), end exclusive.
type region struct{ start, end int }

// fallbackRegions are the parts of the body that stand in for one of the given namespaces. whole is true when
// all of it does.
func fallbackRegions(fallbacks []*xmpp.Element, spaces ...string) (list []region, whole bool) {
	for _, f := range fallbacks {
		wanted := false
		for _, s := range spaces {
			wanted = wanted || f.Attribute("for") == s
		}
		if !wanted {
			continue
		}
		if len(f.Children) == 0 {
			return nil, true // for every body and subject (XEP-0428 §2.2)
		}
		for c := range f.Elements() {
			if !c.Is(xmpp.NSFallback, "body") {
				continue
			}
			startText, endText := c.Attribute("start"), c.Attribute("end")
			if startText == "" && endText == "" {
				return nil, true
			}
			start, err1 := strconv.ParseUint(startText, 10, 31)
			end, err2 := strconv.ParseUint(endText, 10, 31)
			if startText == "" {
				start, err1 = 0, nil
			}
			if endText == "" {
				end, err2 = 1<<31-1, nil
			}
			if err1 == nil && err2 == nil && start < end {
				list = append(list, region{int(start), int(end)})
			}
		}
	}
	return list, false
}

// without returns the text less the regions.
func without(text string, list []region) string {
	if len(list) == 0 {
		return text
	}
	var b strings.Builder
	at := 0
	for i := 0; i < len(text); at++ {
		_, size := utf8.DecodeRuneInString(text[i:])
		in := false
		for _, r := range list {
			in = in || r.start <= at && at < r.end
		}
		if !in {
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

// reactionText is the sentence for a <reactions/>; empty when the last one was taken back.
func reactionText(e *xmpp.Element) string {
	var b strings.Builder
	n := 0
	for r := range e.Elements() {
		if !r.Is(xmpp.NSReactions, "reaction") {
			continue
		}
		if s := cleanLine(r.Text(), 64); s != "" && n < 16 {
			if n++; n > 1 {
				b.WriteByte(' ')
			}
			b.WriteString(s)
		}
	}
	if n == 0 {
		return ""
	}
	return textReacted + b.String() + ")"
}

// inviteText is the sentence for a direct invitation (XEP-0249), which has no body of its own.
func inviteText(e *xmpp.Element) string {
	room, err := xmpp.ParseJID(e.Attribute("jid"))
	if err != nil {
		return ""
	}
	text := "(invitation to the group chat xmpp:" + room.String() + "?join"
	if reason := cleanLine(e.Attribute("reason"), 256); reason != "" {
		text += ": " + reason
	}
	return text + ")"
}
