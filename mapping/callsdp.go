package mapping

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip/sdp"
)

// ErrNoMedia: nothing in the session that the other protocol could carry. Jingle is told unsupported-applications,
// SIP 488.
var ErrNoMedia = errors.New("mapping: no media in the session that both sides know")

// CallContext is what the translation of a session description needs to know besides it.
type CallContext struct {
	Author jingle.Role // role in the Jingle session of the party whose description it is
	Origin sdp.Origin  // o= line of the SDP that is written

	// Offer is the SDP that the contents answer; nil when they are an offer themselves. It had its contents from
	// SDPToContents. For ContentsToSDP.
	Offer *sdp.Description
	// Offered is the session-initiate that the SDP answers; nil when it is an offer itself. The SDP had its media
	// from ContentsToSDP. For SDPToContents.
	Offered *jingle.Jingle
}

// ContentsToSDP translates the contents of a session-initiate, session-accept or content-add to a session
// description of RFC 3264. An answer has the m= lines of the offer in their order, with port 0 where there is no
// content. What SDP cannot say is in the loss; the error is ErrNoMedia.
func ContentsToSDP(j *jingle.Jingle, c CallContext) (*sdp.Description, []string, error) {
	var l losses
	d := &sdp.Description{Origin: c.Origin}
	slots := map[string]int{} // content name to m= line
	if c.Offer != nil {
		for i, name := range contentNames(c.Offer) {
			slots[name] = i
			d.Media = append(d.Media, refusedMedia(&c.Offer.Media[i]))
		}
	}
	mids := map[string]string{}
	living := 0
	for i := range j.Contents {
		content := &j.Contents[i]
		slot, offered := slots[content.Name]
		switch why := unusable(content); {
		case why != "":
			l.where = content.Name
			l.add(why)
			l.where = ""
			continue
		case c.Offer != nil && (!offered || mids[content.Name] != "" || c.Offer.Media[slot].Kind != strings.ToLower(content.Description.Media)):
			l.add("content " + content.Name + " was not offered")
			continue
		}
		m, lost := contentToMedia(content, c.Author)
		l.join(lost)
		if m.MID = midOf(content.Name, i, mids); c.Offer != nil {
			if m.MID, m.Protocol = c.Offer.Media[slot].MID, c.Offer.Media[slot].Protocol; m.Setup == sdp.SetupActpass {
				m.Setup = sdp.SetupActive // RFC 5763 §5: no actpass in an answer
			}
			d.Media[slot] = m
		} else {
			d.Media = append(d.Media, m)
		}
		mids[content.Name] = or(m.MID, "-")
		living++
	}
	for _, e := range j.Info {
		l.add("element " + e.Name.Local)
	}
	l.join(j.Ignored)
	if living == 0 {
		return nil, l.list, ErrNoMedia
	}
	groupsToSDP(j.Groups, mids, d)
	return d, l.list, nil
}

// unusable tells why a content has no m= line; empty: it has one.
func unusable(c *jingle.Content) string {
	switch {
	case c.Disposition != "" && c.Disposition != "session":
		return "disposition " + c.Disposition
	case c.Description == nil || !isCallMedia(strings.ToLower(c.Description.Media)):
		return "application"
	case c.Transport == nil:
		return "transport"
	case len(c.Description.PayloadTypes) == 0:
		return "no payload types"
	}
	return ""
}

func isCallMedia(kind string) bool { return kind == "audio" || kind == "video" }

func contentToMedia(c *jingle.Content, author jingle.Role) (sdp.Media, []string) {
	m, lost := descriptionToMedia(c.Description, author)
	lost = append(lost, TransportToMedia(c.Transport, &m)...)
	m.Direction = SendersToDirection(c.Senders, author)
	if len(c.Other) > 0 {
		l := losses{where: c.Name}
		for _, e := range c.Other {
			l.add("element " + e.Name.Local)
		}
		lost = append(lost, l.list...)
	}
	return m, lost
}

// refusedMedia is an m= line of the offer as it is refused.
func refusedMedia(m *sdp.Media) sdp.Media {
	r := sdp.Media{Kind: m.Kind, Protocol: m.Protocol, MID: m.MID}
	r.Formats = m.Formats[:min(1, len(m.Formats))]
	r.Codecs = m.Codecs[:min(1, len(m.Codecs))]
	return r
}

// midOf is the content name as a token (RFC 5888 §4), or the index where it has no character that fits.
func midOf(name string, index int, taken map[string]string) string {
	mid := strings.Map(tokenRune, name)
	if len(mid) > maxID || mid == "" {
		mid = strconv.Itoa(index)
	}
	for used := true; used; {
		if used = false; slices.Contains(mapValues(taken), mid) {
			mid, used = mid+"-"+strconv.Itoa(index), true
		}
	}
	return mid
}

func mapValues(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for _, v := range m {
		list = append(list, v)
	}
	return list
}

// tokenRune drops what a token of SDP has not (RFC 8866 §9).
func tokenRune(c rune) rune {
	if c > ' ' && c < 0x7f && !strings.ContainsRune(`"(),/:;<=>?@[\]`, c) {
		return c
	}
	return -1
}

// groupsToSDP writes the groups with the media that are there. In a bundle a content without candidates has the
// address of the first one (RFC 9143 §7.2).
func groupsToSDP(groups []jingle.Group, mids map[string]string, d *sdp.Description) {
	for _, g := range groups {
		out := sdp.Group{Semantics: g.Semantics}
		for _, name := range g.Contents {
			if mid := mids[name]; mid != "" && mid != "-" && !slices.Contains(out.MIDs, mid) {
				out.MIDs = append(out.MIDs, mid)
			}
		}
		if len(out.MIDs) == 0 {
			continue
		}
		d.Groups = append(d.Groups, out)
		if strings.EqualFold(g.Semantics, "BUNDLE") {
			shareAddress(d, out.MIDs)
		}
	}
}

func shareAddress(d *sdp.Description, mids []string) {
	var first *sdp.Media
	for _, mid := range mids {
		i := slices.IndexFunc(d.Media, func(m sdp.Media) bool { return m.MID == mid && m.Port != 0 })
		if i < 0 {
			continue
		}
		m := &d.Media[i]
		switch {
		case first == nil:
			first = m
		case len(m.Candidates) == 0 && m.ICE.Ufrag == first.ICE.Ufrag:
			m.Connection, m.Port = first.Connection, first.Port
		}
	}
}

// contentNames are the content names of the media of an offer: the mid where there is one, else the index. A name
// is a token without white space and belongs to one medium (XEP-0338 §2).
func contentNames(d *sdp.Description) []string {
	names := make([]string, len(d.Media))
	taken := map[string]bool{}
	for i := range d.Media {
		name := strings.Map(tokenRune, d.Media[i].MID)
		if name == "" || len(name) > maxID || taken[name] {
			name = strconv.Itoa(i)
		}
		for taken[name] {
			name += "-" + strconv.Itoa(i)
		}
		names[i], taken[name] = name, true
	}
	return names
}

// SDPToContents translates a session description to the contents of a session-initiate or session-accept with
// their groups. A refused medium has no content, unless it shares the bundle of an accepted one: then its content
// stays, and nobody sends. COMPAT: Conversations ends a call whose session-accept lacks a medium. What Jingle cannot
// say is in the loss; the error is ErrNoMedia.
func SDPToContents(d *sdp.Description, c CallContext) ([]jingle.Content, []jingle.Group, []string, error) {
	var l losses
	s := sessionContents{c: c, l: &l, names: make([]string, len(d.Media)), living: countLiving(d)}
	if c.Offered == nil {
		s.names = contentNames(d)
	}
	for i := range d.Media {
		s.media(d, i)
	}
	for _, a := range d.Attributes {
		l.attribute(a.Name)
	}
	if !s.any {
		return nil, nil, l.list, ErrNoMedia
	}
	groups := s.groups(d)
	s.keepRefused(groups)
	return s.list, groups, l.list, nil
}

func countLiving(d *sdp.Description) (n int) {
	for i := range d.Media {
		if !d.Media[i].Rejected() {
			n++
		}
	}
	return n
}

// sessionContents collects the contents of one description.
type sessionContents struct {
	c       CallContext
	l       *losses
	names   []string // content of each medium; empty: none
	list    []jingle.Content
	refused []*jingle.Content // of those offered
	living  int
	any     bool
}

func (s *sessionContents) media(d *sdp.Description, i int) {
	m := d.Effective(i)
	content := jingle.Content{Creator: s.c.Author, Name: s.names[i]}
	var offered *jingle.Content
	if s.c.Offered != nil {
		if offered = answered(s.c.Offered.Contents, &m, i); offered == nil {
			s.l.add("m=" + m.Kind + " was not offered")
			return
		}
		content.Creator, content.Name = offered.Creator, offered.Name
	}
	s.names[i] = ""
	switch {
	case m.Rejected():
		if offered != nil {
			s.refused = append(s.refused, offered)
		}
		return
	case !m.IsRTP() || !isCallMedia(m.Kind):
		s.l.add("m=" + m.Kind + " " + m.Protocol)
		return
	}
	var lost []string
	content.Description, lost = mediaToDescription(&m, s.c.Author)
	s.l.join(lost)
	if len(content.Description.PayloadTypes) == 0 {
		s.l.add("m=" + m.Kind + " without codecs")
		return
	}
	if e := content.Description.Encryption; e != nil && offered != nil && offered.Description.Encryption != nil {
		e.Required = offered.Description.Encryption.Required // it is the offer that requires
	}
	s.bandwidth(d, content.Description)
	content.Transport, lost = MediaToTransport(&m)
	s.l.join(lost)
	content.Senders = directionToSenders(m.Direction, s.c.Author)
	s.names[i], s.any = content.Name, true
	s.list = append(s.list, content)
}

// answered finds the content that a medium answers: by its mid, or where phones drop it by its place among those
// that had an m= line.
func answered(offered []jingle.Content, m *sdp.Media, slot int) *jingle.Content {
	taken := map[string]string{}
	place := 0
	for i := range offered {
		if unusable(&offered[i]) != "" {
			continue
		}
		mid := midOf(offered[i].Name, i, taken)
		taken[offered[i].Name] = mid
		if m.MID == mid || m.MID == "" && place == slot {
			return &offered[i]
		}
		place++
	}
	return nil
}

// bandwidth hands down what the whole session may use, which Jingle can say of one content only.
func (s *sessionContents) bandwidth(d *sdp.Description, to *jingle.Description) {
	for _, b := range d.Bandwidths {
		if s.living > 1 || slices.ContainsFunc(to.Bandwidths, func(o jingle.Bandwidth) bool { return o.Type == b.Type }) {
			s.l.add("b=" + b.Type + " of the session")
			continue
		}
		to.Bandwidths = append(to.Bandwidths, jingle.Bandwidth(b))
	}
}

// keepRefused adds the refused contents of the bundle that the answer has, with the transport that they share.
func (s *sessionContents) keepRefused(groups []jingle.Group) {
	bundled, offered := bundleOf(groups), (*jingle.Group)(nil)
	if s.c.Offered != nil {
		offered = bundleOf(s.c.Offered.Groups)
	}
	if bundled == nil || offered == nil {
		return
	}
	i := slices.IndexFunc(s.list, func(c jingle.Content) bool { return c.Name == bundled.Contents[0] })
	for _, c := range s.refused {
		if !slices.Contains(offered.Contents, c.Name) {
			continue
		}
		s.list = append(s.list, jingle.Content{
			Creator: c.Creator, Name: c.Name, Senders: jingle.SendersNone, Transport: s.list[i].Transport,
			Description: &jingle.Description{Media: c.Description.Media, PayloadTypes: c.Description.PayloadTypes, RTCPMux: true},
		})
		bundled.Contents = append(bundled.Contents, c.Name)
	}
}

func bundleOf(groups []jingle.Group) *jingle.Group {
	for i := range groups {
		if strings.EqualFold(groups[i].Semantics, "BUNDLE") && len(groups[i].Contents) > 0 {
			return &groups[i]
		}
	}
	return nil
}

func (s *sessionContents) groups(d *sdp.Description) []jingle.Group {
	var list []jingle.Group
	for _, g := range d.Groups {
		out := jingle.Group{Semantics: g.Semantics}
		for _, mid := range g.MIDs {
			i := slices.IndexFunc(d.Media, func(m sdp.Media) bool { return m.MID == mid })
			if i >= 0 && s.names[i] != "" {
				out.Contents = append(out.Contents, s.names[i])
			}
		}
		if len(out.Contents) > 0 {
			list = append(list, out)
		}
	}
	return list
}
