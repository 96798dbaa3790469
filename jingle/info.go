package jingle

import (
	"strings"
	"time"

	"github.com/stoxgate/stoxgate/xmpp"
)

// Info is the payload of a session-info: Active, Ringing, Hold, Unhold, Mute, Unmute, DTMF or Transfer.
type Info interface {
	// Element returns the payload as a child of <jingle/>.
	Element() *xmpp.Element
}

// Active tells that the sender takes part again, after a hold or a mute (XEP-0167 §8).
type Active struct{}

// Ringing tells that the device of the sender rings (XEP-0167 §8).
type Ringing struct{}

// Hold tells that the sender does not listen for now (XEP-0167 §8).
type Hold struct{}

// Unhold ends a hold (XEP-0167 §8).
type Unhold struct{}

// Mute tells that the sender sends no sound or picture for now (XEP-0167 §8). An empty Name means every content.
type Mute struct {
	Creator Role
	Name    string
}

// Unmute ends a mute (XEP-0167 §8). An empty Name means every content.
type Unmute struct {
	Creator Role
	Name    string
}

// DTMF is a key (XEP-0181).
type DTMF struct {
	Code     byte          // 0-9, *, #, A-D
	Duration time.Duration // whole milliseconds, at most 10 s; zero: to be ignored
	Volume   uint8         // 0..63, dBm0 with the sign dropped: more is softer; 0: not told
}

// Transfer is a transfer (XEP-0251): To asks the peer to call somebody, From in a session-initiate tells who asked.
type Transfer struct {
	From, To xmpp.JID // zero: absent
	SID      string   // the session to replace in an attended transfer; empty: unattended
}

// misprintedInfo is the namespace of RTP information as one example of XEP-0166 §6.8 has it.
const misprintedInfo = "urn:xmpp:jingle:apps:rtp:1:info"

// defaultTone is the duration of a tone when none is told (XEP-0181 §2).
const defaultTone = 100 * time.Millisecond

// maxTone bounds what a peer can ask to be played.
const maxTone = 10 * time.Second

// ParseInfo reads a payload of a session-info, or the <transfer/> of a session-initiate. The error is a
// *xmpp.StanzaError for the sender: feature-not-implemented with unsupported-info for what is unknown, without
// it for an unknown key (XEP-0181 §2), bad-request for a transfer to nobody.
func ParseInfo(e *xmpp.Element) (Info, error) {
	switch {
	case e == nil:
	case e.Name.Space == xmpp.NSJingleRTPInfo || e.Name.Space == misprintedInfo:
		if i := parseRTPInfo(e); i != nil {
			return i, nil
		}
	case e.Is(xmpp.NSJingleDTMF, "dtmf"):
		return parseDTMF(e)
	case e.Is(xmpp.NSJingleTransfer, "transfer"):
		return parseTransfer(e)
	}
	return nil, UnsupportedInfo()
}

// parseRTPInfo returns nil for what is unknown.
func parseRTPInfo(e *xmpp.Element) Info {
	switch e.Name.Local {
	case "active":
		return Active{}
	case "ringing":
		return Ringing{}
	case "hold":
		return Hold{}
	case "unhold":
		return Unhold{}
	case "mute":
		return Mute{Role(e.Attribute("creator")), e.Attribute("name")}
	case "unmute":
		return Unmute{Role(e.Attribute("creator")), e.Attribute("name")}
	}
	return nil
}

func parseDTMF(e *xmpp.Element) (Info, error) {
	var r reader
	d := DTMF{Duration: defaultTone}
	code := strings.ToUpper(e.Attribute("code"))
	if len(code) != 1 || !strings.Contains("0123456789*#ABCD", code) {
		return nil, xmpp.NewStanzaError(xmpp.ConditionFeatureNotImplemented, "jingle: unknown key")
	}
	d.Code = code[0]
	if e.Attribute("duration") != "" {
		ms, ok := r.number(e, "duration", 32)
		if !ok {
			return nil, badRequest("jingle: duration of a key is no number")
		}
		d.Duration = min(time.Duration(ms)*time.Millisecond, maxTone)
	}
	d.Volume = uint8(min(r.hint(e, "volume", 32), 63))
	return d, nil
}

func parseTransfer(e *xmpp.Element) (Info, error) {
	t := Transfer{SID: clip(e.Attribute("sid"))}
	for name, to := range map[string]*xmpp.JID{"from": &t.From, "to": &t.To} {
		if v := e.Attribute(name); v != "" {
			j, err := xmpp.ParseJID(v)
			if err != nil {
				return nil, xmpp.NewStanzaError(xmpp.ConditionJIDMalformed, "jingle: malformed address of a transfer")
			}
			*to = j
		}
	}
	if t.From.IsZero() && t.To.IsZero() {
		return nil, badRequest("jingle: transfer to nobody")
	}
	return t, nil
}

func rtpInfo(name string) *xmpp.Element { return xmpp.NewElement(xmpp.NSJingleRTPInfo, name) }

// Element implements Info.
func (Active) Element() *xmpp.Element { return rtpInfo("active") }

// Element implements Info.
func (Ringing) Element() *xmpp.Element { return rtpInfo("ringing") }

// Element implements Info.
func (Hold) Element() *xmpp.Element { return rtpInfo("hold") }

// Element implements Info.
func (Unhold) Element() *xmpp.Element { return rtpInfo("unhold") }

// Element implements Info.
func (m Mute) Element() *xmpp.Element { return muteElement("mute", m.Creator, m.Name) }

// Element implements Info.
func (m Unmute) Element() *xmpp.Element { return muteElement("unmute", m.Creator, m.Name) }

func muteElement(local string, creator Role, name string) *xmpp.Element {
	e := rtpInfo(local)
	setText(e, "creator", string(creator))
	setText(e, "name", name)
	return e
}

// Element implements Info.
func (d DTMF) Element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleDTMF, "dtmf").Set("code", string(rune(d.Code)))
	setNumber(e, "duration", uint32(d.Duration/time.Millisecond))
	setHint(e, "volume", d.Volume)
	return e
}

// Element implements Info.
func (t Transfer) Element() *xmpp.Element {
	e := xmpp.NewElement(xmpp.NSJingleTransfer, "transfer")
	setText(e, "from", t.From.String())
	setText(e, "to", t.To.String())
	setText(e, "sid", t.SID)
	return e
}

// Transferred is what goes into Reason.App when a session ends because a transfer succeeded (XEP-0251 §2).
func Transferred() *xmpp.Element { return xmpp.NewElement(xmpp.NSJingleTransfer, "transferred") }
