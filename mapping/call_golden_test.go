package mapping

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/tools/txtar"

	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/sdp"
	"github.com/stoxgate/stoxgate/xmpp"
)

// TestCallGolden runs the pairs in testdata/mapping/call: one file for each row of the tables between Jingle and
// SDP, and of the tables of reasons. Lines of the comment are free text, or "key: value".
//
//	x2s: jingle, offer (SDP that it answers)       -> sdp      loss  error
//	s2x: sdp, offered (jingle that it answers)     -> jingle   loss  error
//	x2s: reason                                    -> sip: what the caller, the canceller and the hanger-up make of it
//	s2x: response (SIP/2.0 …), bye or cancel (Reason values) -> reason
func TestCallGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/mapping/call/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := string(txtar.Format(a))
			g := callGolden(t, a)
			a.Files = append(g.input[:len(g.input):len(g.input)], g.run(t)...)
			got := string(txtar.Format(a))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Fatal(d)
			}
		})
	}
}

type callPair struct {
	toSIP bool
	c     CallContext
	input []txtar.File
}

func callGolden(t *testing.T, a *txtar.Archive) *callPair {
	t.Helper()
	g := &callPair{c: CallContext{Author: jingle.RoleInitiator, Origin: sdp.Origin{SessionID: 4711, Version: 1, Address: "192.0.2.1"}}}
	for line := range strings.SplitSeq(string(a.Comment), "\n") {
		key, value, _ := strings.Cut(line, ": ")
		switch key {
		case "direction":
			g.toSIP = value == "x2s"
		case "author":
			g.c.Author = jingle.Role(value)
		}
	}
	want := map[bool]string{true: "jingle offer reason", false: "sdp offered response bye cancel"}[g.toSIP]
	for _, f := range a.Files {
		if !strings.Contains(" "+want+" ", " "+f.Name+" ") {
			continue
		}
		g.input = append(g.input, f)
		switch f.Name {
		case "offer":
			d, err := sdp.Parse(f.Data)
			if err != nil {
				t.Fatal(err)
			}
			g.c.Offer = d
		case "offered":
			g.c.Offered = parseJingle(t, f.Data)
		}
	}
	if len(g.input) == 0 {
		t.Fatal("no input")
	}
	return g
}

func parseJingle(t *testing.T, text []byte) *jingle.Jingle {
	t.Helper()
	j, err := jingle.Parse(element(t, strings.TrimSpace(string(text))))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func (g *callPair) run(t *testing.T) []txtar.File {
	t.Helper()
	data := g.input[0].Data
	switch text := strings.TrimSpace(string(data)); g.input[0].Name {
	case "jingle":
		d, loss, err := ContentsToSDP(parseJingle(t, data), g.c)
		var out []txtar.File
		if d != nil {
			wire := d.String()
			again, perr := sdp.Parse([]byte(wire))
			if diff := cmp.Diff(d, again, cmpopts.EquateEmpty()); perr != nil || diff != "" {
				t.Error(perr, diff)
			}
			out = append(out, txtar.File{Name: "sdp", Data: []byte(strings.ReplaceAll(wire, "\r\n", "\n"))})
		}
		return append(out, results(loss, err)...)
	case "sdp":
		d, err := sdp.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		contents, groups, loss, err := SDPToContents(d, g.c)
		var out []txtar.File
		if err == nil {
			j := &jingle.Jingle{Action: jingle.ActionSessionInitiate, SID: "a1", Contents: contents, Groups: groups}
			if g.c.Offered != nil {
				j.Action = jingle.ActionSessionAccept
			}
			e := j.Element()
			if again, err := jingle.Parse(element(t, e.String())); err != nil || cmp.Diff(j.Element(), again.Element()) != "" {
				t.Error(err, cmp.Diff(j.Element(), again.Element()))
			}
			out = append(out, txtar.File{Name: "jingle", Data: []byte(indent(e))})
		}
		return append(out, results(loss, err)...)
	case "reason":
		return []txtar.File{{Name: "sip", Data: []byte(reasonTold(parseJingle(t, []byte(
			`<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='a1'>`+text+`</jingle>`)).Reason))}}
	case "response":
		code, phrase, _ := strings.Cut(strings.TrimPrefix(text, "SIP/2.0 "), " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			t.Fatal(err)
		}
		s := sip.Status{Code: n, Reason: phrase}
		first, rang := StatusToReason(s, false), StatusToReason(s, true)
		out := []txtar.File{{Name: "reason", Data: []byte(first.Element().String() + "\n")}}
		if rang != first {
			out = append(out, txtar.File{Name: "rang", Data: []byte(rang.Element().String() + "\n")})
		}
		return out
	default:
		var list []sip.Reason
		if text != "none" {
			var err error
			if list, err = sip.ParseReasons(text); err != nil {
				t.Fatal(err)
			}
		}
		r := ReasonsToReason(list)
		if g.input[0].Name == "cancel" {
			r = CancelToReason(list)
		}
		return []txtar.File{{Name: "reason", Data: []byte(r.Element().String() + "\n")}}
	}
}

// reasonTold is all that SIP may be told for one Jingle reason.
func reasonTold(r *jingle.Reason) string {
	var b strings.Builder
	status := func(when string, s sip.Status) {
		fmt.Fprintf(&b, "%s: %s\n", when, s.Error())
		for _, h := range s.Headers {
			fmt.Fprintf(&b, " %s: %s\n", h.Name(), h.Value())
		}
	}
	status("INVITE refused", ReasonToStatus(*r, false))
	status("INVITE refused after 180", ReasonToStatus(*r, true))
	status("propose rejected", RejectToStatus(r))
	for _, answered := range []bool{false, true} {
		method := map[bool]string{false: "CANCEL", true: "BYE"}[answered]
		fmt.Fprintf(&b, "%s\n", method)
		for _, v := range ReasonToReasons(*r, answered) {
			fmt.Fprintf(&b, " Reason: %s\n", v)
		}
	}
	return b.String()
}

// indent writes an element with one child per line.
func indent(e *xmpp.Element) string {
	var b strings.Builder
	indentTo(&b, e, "", 0)
	return b.String()
}

func indentTo(b *strings.Builder, e *xmpp.Element, parent string, depth int) {
	pad := strings.Repeat(" ", depth)
	if len(e.Children) == 0 || e.Children[0].Elem == nil {
		fmt.Fprintf(b, "%s%s\n", pad, e.Append(nil, parent))
		return
	}
	open := *e
	open.Children = nil
	fmt.Fprintf(b, "%s%s>\n", pad, strings.TrimSuffix(string(open.Append(nil, parent)), "/>"))
	for _, c := range e.Children {
		if c.Elem != nil {
			indentTo(b, c.Elem, e.Name.Space, depth+1)
		}
	}
	fmt.Fprintf(b, "%s</%s>\n", pad, e.Name.Local)
}
