package mapping

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/sip/pidf"
	"github.com/stoxgate/stoxgate/xmpp"
)

// TestPresenceGolden runs the pairs in testdata/mapping/presence: one file for each row of the tables of RFC 8048
// and RPID, and for each kind of phone. Lines of the comment are free text, or "key: value".
//
//	x2s: xmpp, xmpp.2 …  stanzas of one user, a NOTIFY after each section   -> sip, sip.2 …
//	s2x: sip, sip.2 …    NOTIFYs about one user: headers, blank line, body  -> xmpp, xmpp.2 …  loss
//
// Headers of a NOTIFY in s2x: Content-Language; X-Source and X-Call stand for the context.
func TestPresenceGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/mapping/presence/*.txtar")
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
			g := presenceGolden(t, string(a.Comment))
			var input []txtar.File
			for _, f := range a.Files {
				if name, _, _ := strings.Cut(f.Name, "."); name == g.input {
					input = append(input, f)
				}
			}
			a.Files = append(input[:len(input):len(input)], g.run(t, input)...)
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

type presencePair struct {
	input  string // "xmpp" or "sip"
	x2s    PresenceContext
	s2x    PIDFContext
	caps   pidf.Capabilities
	entity string
}

func presenceGolden(t *testing.T, comment string) *presencePair {
	t.Helper()
	g := &presencePair{
		s2x: PIDFContext{
			From: xmpp.MustJID("otto@sip.harbor.example"), To: xmpp.MustJID("mira@chat.harbor.example"), Now: goldenNow, Domain: "sip.harbor.example",
		},
		entity: "sip:mira@chat.harbor.example",
	}
	for line := range strings.SplitSeq(comment, "\n") {
		key, value, ok := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); !ok || strings.Contains(key, " ") {
			continue
		}
		switch key {
		case "direction":
			g.input = map[string]string{"x2s": "xmpp", "s2x": "sip"}[value]
		case "entity":
			g.entity = value
		case "name":
			g.x2s.Name = value
		case "icon":
			g.x2s.IconBase = value
		case "mood":
			g.x2s.Mood = element(t, value)
		case "activity":
			g.x2s.Activity = element(t, value)
		case "flags":
			for f := range strings.FieldsSeq(value) {
				switch f {
				case "on-the-phone":
					g.x2s.OnThePhone = true
				case "hide-idle":
					g.x2s.HideIdle = true
				case "audio":
					g.caps.Audio, g.caps.Message = pidf.Supported, pidf.Supported
				case "caps":
					g.s2x.Caps = func(r *Resource) *xmpp.Element {
						ver := "audio"
						if r.Capabilities.Video == pidf.Supported {
							ver = "audio-video"
						}
						return xmpp.NewElement(xmpp.NSCaps, "c").Set("hash", "sha-1").Set("node", "urn:x").Set("ver", ver)
					}
				case "photo":
					g.s2x.Photo = func(r *Resource) *xmpp.Element {
						return PhotoElement(r.Avatar[strings.LastIndexByte(r.Avatar, '/')+1:], true)
					}
				default:
					t.Fatalf("unknown flag %q", f)
				}
			}
		}
	}
	if g.input == "" {
		t.Fatal("no direction")
	}
	u, err := sip.ParseURI(g.entity)
	if err != nil {
		t.Fatal(err)
	}
	g.x2s.Entity = u
	return g
}

func element(t *testing.T, text string) *xmpp.Element {
	t.Helper()
	e, err := xmpp.ParseElement([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (g *presencePair) run(t *testing.T, input []txtar.File) []txtar.File {
	if g.input == "xmpp" {
		return g.runToSIP(t, input)
	}
	return g.runToXMPP(t, input)
}

func (g *presencePair) runToSIP(t *testing.T, input []txtar.File) (out []txtar.File) {
	var rs Resources
	for i, f := range input {
		changed := false
		var to xmpp.JID
		for _, p := range stanzas(t, f.Data) {
			r, ok := ResourceOf(p, goldenNow)
			if !ok {
				continue
			}
			to = p.To
			if r.Capabilities = g.caps; r.Closed {
				r.Capabilities = pidf.Capabilities{}
			}
			var news bool
			rs, news = rs.Update(r)
			changed = changed || news
		}
		if !changed && len(rs) > 0 || len(rs) == 0 && to.IsZero() && len(f.Data) > 0 {
			out = append(out, txtar.File{Name: section("sip", i), Data: []byte("nothing\n")})
			continue
		}
		d, lang := PresenceToPIDF(rs, g.x2s)
		text := "From: <" + g.x2s.Entity.AOR().String() + ">\n"
		if !to.IsZero() {
			text += "To: " + address(t, "", to).String() + "\n"
		}
		text += "Event: presence\nContent-Type: " + pidf.ContentType + "\n"
		if lang != "" {
			text += "Content-Language: " + lang + "\n"
		}
		wire := d.Append(nil)
		if _, err := pidf.Parse(wire); err != nil {
			t.Error(err)
		}
		for _, tag := range []string{"<tuple", "<dm:person", "</presence>"} {
			wire = []byte(strings.ReplaceAll(string(wire), tag, "\n"+tag))
		}
		out = append(out, txtar.File{Name: section("sip", i), Data: []byte(text + "\n" + string(wire) + "\n")})
		rs = rs.Told()
	}
	return out
}

// stanzas reads presence stanzas that stand one after the other.
func stanzas(t *testing.T, data []byte) (list []*xmpp.Presence) {
	t.Helper()
	for text := range strings.SplitAfterSeq(string(data), ">\n") {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		s, err := xmpp.ReadStanza([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, s.(*xmpp.Presence))
	}
	return list
}

func (g *presencePair) runToXMPP(t *testing.T, input []txtar.File) (out []txtar.File) {
	var rs Resources
	var loss []string
	for i, f := range input {
		c := g.s2x
		head, body, _ := strings.Cut(string(f.Data), "\n\n")
		for line := range strings.SplitSeq(head, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			switch name {
			case "Content-Language":
				c.Lang = value
			case "X-Source":
				n, err := strconv.ParseUint(value, 10, 32)
				if err != nil {
					t.Fatal(err)
				}
				c.Source = uint32(n)
			case "X-Call":
				c.OnThePhone = true
			}
		}
		var d *pidf.Document
		if strings.TrimSpace(body) != "" {
			var err error
			if d, err = pidf.Parse([]byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		u := PIDFToPresences(rs, d, c)
		rs = u.Resources
		loss = append(loss, u.Loss...)
		var text strings.Builder
		for _, p := range u.Presences {
			wire := p.Append(nil)
			if _, err := xmpp.ReadStanza(wire); err != nil {
				t.Errorf("%v: %s", err, wire)
			}
			text.Write(append(wire, '\n'))
		}
		if u.Name != "" {
			text.WriteString("name: " + u.Name + "\n")
		}
		for _, e := range []*xmpp.Element{u.Mood, u.Activity} {
			if e != nil {
				text.WriteString(e.String() + "\n")
			}
		}
		if text.Len() == 0 {
			text.WriteString("nothing\n")
		}
		out = append(out, txtar.File{Name: section("xmpp", i), Data: []byte(text.String())})
	}
	return append(out, results(loss, nil)...)
}
