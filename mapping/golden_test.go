package mapping

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

var update = flag.Bool("update", false, "write what the mapping does into the golden files")

// TestGolden runs the pairs in testdata/mapping. Each file is one row of a table of the specifications: a comment
// with the context, the input, and what has to come of it. The sections of one direction:
//
//	x2s: xmpp                    -> sip, sip.2 …   loss   error
//	s2x: sip                     -> xmpp, xmpp.2 … loss   error
//
// Lines of the comment are free text, or "key: value" with a key of goldenContext. SIP is written with LF.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/mapping/*.txtar")
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
			g := goldenContext(t, string(a.Comment))
			var input string
			for _, f := range a.Files {
				if f.Name == g.input() {
					input = string(f.Data)
				}
			}
			if input == "" {
				t.Fatalf("no section %q", g.input())
			}
			a.Files = append([]txtar.File{{Name: g.input(), Data: []byte(input)}}, g.run(t, input)...)
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
			if again := g.run(t, input); string(txtar.Format(&txtar.Archive{Comment: a.Comment, Files: append(a.Files[:1:1], again...)})) != got {
				t.Fatal("the same input gave other bytes")
			}
		})
	}
}

// golden is the context of one file.
type golden struct {
	toSIP   bool
	from    string // name-addr or JID; default: what the addresses map to
	to      string
	ruri    string
	request RequestContext
	message MessageContext
}

var goldenNow = time.Date(2026, 5, 4, 18, 22, 1, 0, time.UTC)

func goldenContext(t *testing.T, comment string) *golden {
	t.Helper()
	g := &golden{
		request: RequestContext{Now: goldenNow, Component: "sip.harbor.example"},
		message: MessageContext{Now: goldenNow, Host: "gw.harbor.example", Seq: 41},
	}
	directed := false
	for line := range strings.SplitSeq(comment, "\n") {
		key, value, ok := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); !ok || strings.Contains(key, " ") {
			continue
		}
		switch key {
		case "direction":
			directed = true
			g.toSIP = value == "x2s"
		case "from":
			g.from = value
		case "to":
			g.to = value
		case "request-uri":
			g.ruri = value
		case "seq":
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			g.message.Seq = n
		case "sent":
			at, err := time.Parse(time.RFC3339, value)
			if err != nil {
				t.Fatal(err)
			}
			g.message.Sent = at
		case "type":
			g.request.Type = xmpp.MessageType(value)
		case "flags":
			for f := range strings.FieldsSeq(value) {
				switch f {
				case "focus":
					g.request.Focus = true
				case "plain-only":
					g.request.PlainOnly = true
				case "nick":
					g.request.Nick = true
				case "states":
					g.request.States = true
				default:
					t.Fatalf("unknown flag %q", f)
				}
			}
		case "peer":
			for f := range strings.FieldsSeq(value) {
				p := &g.message.Peer
				name, n, _ := strings.Cut(f, "=")
				switch name {
				case "cpim":
					p.AcceptsCPIM = true
				case "imdn":
					p.AcceptsIMDN = true
				case "iscomposing":
					p.AcceptsIsComposing = true
				case "ft":
					p.AcceptsFileTransfer = true
				case "html":
					p.AcceptsHTML = true
				case "multipart":
					p.AcceptsMultipart = true
				case "short":
					p.ShortText, _ = strconv.Atoi(n)
				default:
					t.Fatalf("unknown capability %q", f)
				}
			}
		}
	}
	if !directed {
		t.Fatal("no direction")
	}
	return g
}

func (g *golden) input() string {
	if g.toSIP {
		return "xmpp"
	}
	return "sip"
}

func (g *golden) run(t *testing.T, input string) []txtar.File {
	if g.toSIP {
		return g.runToSIP(t, input)
	}
	return g.runToXMPP(t, input)
}

func (g *golden) runToSIP(t *testing.T, input string) (out []txtar.File) {
	t.Helper()
	s, err := xmpp.ReadStanza([]byte(strings.TrimSpace(input)))
	if err != nil {
		t.Fatal(err)
	}
	m := s.(*xmpp.Message)
	c := g.message
	c.From, c.To = address(t, g.from, m.From.Bare()), address(t, g.to, m.To.Bare())
	if g.ruri != "" {
		if c.RequestURI, err = sip.ParseURI(g.ruri); err != nil {
			t.Fatal(err)
		}
	}
	reqs, loss, err := MessageToRequests(m, c)
	for i, r := range reqs {
		if err := sip.Validate(r); err != nil {
			t.Error(err)
		}
		wire, err := sip.AppendMessage(nil, r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, txtar.File{Name: section("sip", i), Data: []byte(strings.ReplaceAll(string(wire), "\r\n", "\n"))})
	}
	return append(out, results(loss, err)...)
}

func (g *golden) runToXMPP(t *testing.T, input string) (out []txtar.File) {
	t.Helper()
	r := parseRequest(t, input)
	c := g.request
	c.From, c.To = g.jid(t, g.from, r, true), g.jid(t, g.to, r, false)
	msgs, loss, err := RequestToMessages(r, c)
	for i, m := range msgs {
		wire := m.Append(nil)
		if _, err := xmpp.ReadStanza(wire); err != nil {
			t.Errorf("%v: %s", err, wire)
		}
		out = append(out, txtar.File{Name: section("xmpp", i), Data: []byte(pretty(m))})
	}
	return append(out, results(loss, err)...)
}

func address(t *testing.T, given string, j xmpp.JID) sip.NameAddr {
	t.Helper()
	if given != "" {
		n, err := sip.ParseNameAddr(given)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	u, err := JIDToURI(j)
	if err != nil {
		t.Fatal(err)
	}
	return sip.NameAddr{URI: u}
}

func (g *golden) jid(t *testing.T, given string, r *sip.Request, from bool) xmpp.JID {
	t.Helper()
	if given != "" {
		return xmpp.MustJID(given)
	}
	u := sip.RequestURI(r)
	if from {
		n, err := sip.FromOf(r)
		if err != nil {
			t.Fatal(err)
		}
		u = n.URI
	}
	j, err := URIToJID(u)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// parseRequest reads a request that is written with LF; the last LF belongs to the file.
func parseRequest(t testing.TB, text string) *sip.Request {
	t.Helper()
	head, body, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n\n")
	wire := strings.ReplaceAll(head, "\n", "\r\n") + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	msg, err := sip.ParseMessage([]byte(wire))
	if err != nil {
		t.Fatal(err)
	}
	return msg.(*sip.Request)
}

func section(name string, i int) string {
	if i == 0 {
		return name
	}
	return name + "." + strconv.Itoa(i+1)
}

// pretty writes a stanza with one child per line.
func pretty(m *xmpp.Message) string {
	e := m.Element()
	children := e.Children
	e.Children = nil
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(string(e.Append(nil, xmpp.NSClient)), "/>") + ">\n")
	for _, c := range children {
		b.WriteString(" " + string(c.Elem.Append(nil, xmpp.NSClient)) + "\n")
	}
	b.WriteString("</message>\n")
	return b.String()
}

func results(loss []string, err error) (out []txtar.File) {
	if len(loss) > 0 {
		out = append(out, txtar.File{Name: "loss", Data: []byte(strings.Join(loss, "\n") + "\n")})
	}
	var status *sip.Status
	var stanza *xmpp.StanzaError
	switch {
	case err == nil:
	case errors.As(err, &status):
		text := status.Error() + "\n"
		for _, h := range status.Headers {
			text += h.Name() + ": " + h.Value() + "\n"
		}
		out = append(out, txtar.File{Name: "error", Data: []byte(text)})
	case errors.As(err, &stanza):
		out = append(out, txtar.File{Name: "error", Data: []byte(string(stanza.Element(xmpp.NSClient).Append(nil, xmpp.NSClient)) + "\n")})
	default:
		out = append(out, txtar.File{Name: "error", Data: fmt.Appendln(nil, err)})
	}
	return out
}
