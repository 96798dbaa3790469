package jingletest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stoxgate/stoxgate/jingle"
)

// check tells what Conversations would end the call for: it turns every content into SDP for its engine and demands
// DTLS with a role that fits.
func check(c *Call, j *jingle.Jingle) []string {
	switch j.Action {
	case jingle.ActionSessionInitiate, jingle.ActionSessionAccept, jingle.ActionContentAdd, jingle.ActionContentAccept:
	default:
		return nil
	}
	var bad []string
	say := func(format string, args ...any) { bad = append(bad, fmt.Sprintf(format, args...)) }
	var media, setups []string
	for i := range j.Contents {
		v := &j.Contents[i]
		if !token(v.Name) {
			say("content name %q is no token", v.Name)
		}
		if v.Description == nil || v.Transport == nil {
			say("content %q without description or transport", v.Name)
			continue
		}
		media = append(media, v.Description.Media)
		for _, problem := range checkDescription(v.Description) {
			say("content %q: %s", v.Name, problem)
		}
		t := v.Transport
		if t.Kind != jingle.TransportICE || !token(t.Ufrag) || !token(t.Pwd) {
			say("content %q: no ICE credentials", v.Name)
		}
		if len(t.Fingerprints) == 0 {
			say("content %q: no fingerprint", v.Name)
			continue
		}
		setups = append(setups, t.Fingerprints[0].Setup)
	}
	for _, s := range setups {
		offer := j.Action == jingle.ActionSessionInitiate
		if s != setups[0] || offer && s != "actpass" || !offer && j.Action != jingle.ActionContentAdd && s != "active" && s != "passive" {
			say("setup is %q", s)
		}
	}
	return append(bad, checkMedia(c, j, media)...)
}

func checkDescription(d *jingle.Description) []string {
	var bad []string
	if len(d.PayloadTypes) == 0 {
		bad = append(bad, "no payload-type")
	}
	if !d.RTCPMux {
		bad = append(bad, "no rtcp-mux")
	}
	for _, p := range d.PayloadTypes {
		if !token(p.Name) || p.ClockRate == 0 {
			bad = append(bad, fmt.Sprintf("payload-type %d without name or clockrate", p.ID))
		}
		for _, v := range p.Parameters {
			if v.Value == "" || strings.ContainsAny(v.Name+v.Value, " \t\r\n") || v.Name == "" && len(p.Parameters) > 1 {
				bad = append(bad, fmt.Sprintf("payload-type %d: parameter %q=%q", p.ID, v.Name, v.Value))
			}
		}
	}
	for _, s := range d.Sources {
		for _, v := range s.Parameters {
			if v.Name == "" || v.Value == "" {
				bad = append(bad, fmt.Sprintf("source %d: parameter %q=%q", s.SSRC, v.Name, v.Value))
			}
		}
	}
	return bad
}

// checkMedia compares the media of a session-initiate with those proposed, and the contents of a session-accept with
// those initiated: all must come back.
func checkMedia(c *Call, j *jingle.Jingle, media []string) []string {
	switch {
	case j.Action == jingle.ActionSessionInitiate && c.proposed != nil:
		if !sameMedia(media, c.proposed) {
			return []string{fmt.Sprintf("media %v, but %v were proposed", media, c.proposed)}
		}
	case j.Action == jingle.ActionSessionAccept:
		for _, s := range c.session.Contents() {
			if s.Creator == jingle.RoleInitiator && !s.Accepted {
				return []string{fmt.Sprintf("content %q is not accepted", s.Name)}
			}
		}
	}
	return nil
}

func sameMedia(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}

// token tells whether a value can stand in SDP between white space.
func token(s string) bool { return s != "" && !strings.ContainsAny(s, " \t\r\n") }
