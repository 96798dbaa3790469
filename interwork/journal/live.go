package journal

import "strings"

// Live draws entries one after the other as they come, when the lanes cannot
// be known in advance: one lane for everybody on XMPP, one for the gateway, one
// for everybody on SIP. Every label names the peer, every line its flow.
type Live struct {
	l    *ladder
	last string // flow of the line before
}

const (
	liveXMPP, liveSIP = "XMPP", "SIP"
	flowColumn        = 11 // "q7mx2k-1z4 "
	clockColumn       = 13 // "15:04:05.000 "
)

// NewLive prepares a live ladder. Of the options, Width and ASCII count.
func NewLive(o LadderOptions) *Live {
	if o.Width <= 0 {
		o.Width = defaultWidth
	}
	l := &ladder{strokes: unicodeStrokes, gutter: clockColumn + flowColumn, names: []string{liveXMPP, Gateway, liveSIP}}
	if o.ASCII {
		l.strokes = asciiStrokes
	}
	l.place(o.Width, o.Width)
	return &Live{l: l}
}

// Heading returns the names of the lanes.
func (v *Live) Heading() string {
	var b strings.Builder
	v.l.heading(&b)
	return b.String()
}

// Draw returns the lines for one entry.
func (v *Live) Draw(e Entry) string {
	side := liveXMPP
	if e.Protocol == SIP {
		side = liveSIP
	}
	peer := ""
	drawn := Entry{Summary: e.Summary, Note: e.Note}
	ours := func(lane string) bool { return lane == "" || lane == Gateway }
	switch {
	case ours(e.From) && ours(e.To):
		drawn.From = Gateway
	case e.From == Gateway:
		peer, drawn.From, drawn.To = e.To, Gateway, side
	case e.To == Gateway:
		peer, drawn.From, drawn.To = e.From, side, Gateway
	default: // a remark about a peer, or peers among themselves
		peer, drawn.From = strings.Trim(e.From+" "+e.To, " "), side
	}
	if peer != "" {
		drawn.Summary = strings.TrimRight(peer+": "+e.Summary, " :")
	}
	stamp := e.At.Format("15:04:05.000 ") + truncate(clean(e.Flow), flowColumn-1, v.l.more)
	var b strings.Builder
	if v.last != "" && v.last != e.Flow {
		v.l.write(&b, v.l.blank(v.l.strokes.lane))
	}
	v.last = e.Flow
	v.l.entry(&b, &drawn, stamp)
	return b.String()
}
