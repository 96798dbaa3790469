package disco

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stoxgate/stoxgate/xmpp"
)

func testResponder() *Responder {
	now := time.Date(2026, 5, 4, 18, 22, 1, 5e8, time.FixedZone("", -5400))
	return NewResponder(Config{
		Node: "https://gw.example/", Name: "Test Gateway", Version: "1.2", OS: "Linux",
		Now: func() time.Time { return now }, Started: now.Add(-903 * time.Second),
		Items:    []Item{{JID: xmpp.MustJID("rooms.sip.example"), Name: "Rooms"}, {JID: xmpp.MustJID("sip.example"), Node: "n"}},
		Features: map[Kind]Features{SubjectGateway: NewFeatures("urn:x:commands")},
		Resolve: func(in string) (xmpp.JID, error) {
			switch in {
			case "+49 30 1234":
				return xmpp.MustJID("+49301234@sip.example"), nil
			case "gone":
				return xmpp.JID{}, fmt.Errorf("identity: %w", xmpp.NewStanzaError(xmpp.ConditionGone, "moved"))
			}
			return xmpp.JID{}, errors.New("identity: nonsense")
		},
	})
}

var subjects = map[string]Subject{
	"gateway":        {Kind: SubjectGateway},
	"number gateway": {Kind: SubjectGateway, Numbers: true, Capabilities: Audio},
	"user":           {Kind: SubjectUser, Name: "Otto", URI: "sip:otto@sip.example", Number: "+49301234"},
	"bare user":      {Kind: SubjectUser, URI: "sip:otto@sip.example"},
	"phone":          {Kind: SubjectResource, Name: "Otto", Capabilities: ChatStates | Receipts | Markers | Files},
	"video phone":    {Kind: SubjectResource, Capabilities: ChatStates | Receipts | Audio | Video},
	"sms":            {Kind: SubjectResource, Number: "+49301234", Capabilities: SMS},
	"unknown":        {},
}

var update = flag.Bool("update", false, "rewrite testdata/answers.golden with the answers of today")

// TestAnswers holds every question and answer against testdata/answers.golden:
// "? subject: request" and "= reply" lines. A new question is added with any
// reply and -update.
func TestAnswers(t *testing.T) {
	data, err := os.ReadFile("testdata/answers.golden")
	if err != nil {
		t.Fatal(err)
	}
	r := testResponder()
	n := 0
	blocks := strings.Split(strings.TrimSpace(string(data)), "\n\n")
	for i, block := range blocks {
		question, want, ok := strings.Cut(block, "\n= ")
		if !ok {
			continue // a comment
		}
		n++
		who, request, _ := strings.Cut(strings.TrimPrefix(question, "? "), ": ")
		s, ok := subjects[who]
		if !ok {
			t.Fatalf("no subject %q", who)
		}
		typ, payload, _ := strings.Cut(request, " ")
		iq := &xmpp.IQ{
			From: xmpp.MustJID("mira@chat.example/desk"), To: xmpp.MustJID("otto@sip.example/x"), ID: "1",
			Type: xmpp.IQType(typ), Payload: parse(t, payload),
		}
		reply := r.Answer(iq, s)
		const head = "<iq from='otto@sip.example/x' to='mira@chat.example/desk' id='1' "
		got, ok := strings.CutPrefix(string(reply.Append(nil)), head)
		if !ok {
			t.Errorf("%s: %s", question, reply.Append(nil))
		}
		got = strings.ReplaceAll(got, "><", ">\n<")
		blocks[i] = question + "\n= " + got
		if *update {
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s\n-want +got\n%s\n%s", question, d, got)
		}
	}
	if n < 20 {
		t.Errorf("only %d questions read", n)
	}
	if *update {
		if err := os.WriteFile("testdata/answers.golden", []byte(strings.Join(blocks, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServed: what is announced is answered, and nothing that would be refused is
// announced.
func TestServed(t *testing.T) {
	questions := map[string]*xmpp.Element{ // feature: the request that it promises to answer
		xmpp.NSDiscoInfo:  xmpp.NewElement(xmpp.NSDiscoInfo, "query"),
		xmpp.NSDiscoItems: xmpp.NewElement(xmpp.NSDiscoItems, "query"),
		xmpp.NSPing:       xmpp.NewElement(xmpp.NSPing, "ping"),
		xmpp.NSVersion:    xmpp.NewElement(xmpp.NSVersion, "query"),
		xmpp.NSTime:       xmpp.NewElement(xmpp.NSTime, "time"),
		xmpp.NSLast:       xmpp.NewElement(xmpp.NSLast, "query"),
		xmpp.NSVCard:      xmpp.NewElement(xmpp.NSVCard, "vCard"),
		xmpp.NSGateway:    xmpp.NewElement(xmpp.NSGateway, "query"),
		xmpp.NSRegister:   xmpp.NewElement(xmpp.NSRegister, "query"),
		xmpp.NSCommands:   xmpp.NewElement(xmpp.NSCommands, "command"),
	}
	for _, r := range []*Responder{testResponder(), NewResponder(Config{})} {
		for name, who := range subjects {
			if who.Kind == SubjectUnknown {
				continue
			}
			info := r.Info(who)
			for feature, payload := range questions {
				reply := r.Answer(&xmpp.IQ{Type: xmpp.IQGet, ID: "1", Payload: payload}, who)
				if served := reply.Type == xmpp.IQResult; served != info.Features.Has(feature) {
					t.Errorf("%s: %s announced %v, served %v", name, feature, !served, served)
				}
			}
			if (who.Kind == SubjectUser) == info.Features.Has(xmpp.NSCaps) || info.Features.Has(xmpp.FeatureJIDEscaping) != (who.Kind == SubjectGateway) {
				t.Errorf("%s: %s", name, info.Features)
			}
			// XEP-0115 §5.4 and XEP-0030 hold for our own answers too.
			if got, err := ParseInfo(info.Element()); err != nil || got.Verification() != info.Verification() {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestResponderCaps(t *testing.T) {
	r := testResponder()
	ask := func(who Subject, node string) *xmpp.IQ {
		return r.Answer(&xmpp.IQ{Type: xmpp.IQGet, ID: "1", Payload: xmpp.NewElement(xmpp.NSDiscoInfo, "query").Set("node", node)}, who)
	}
	seen := make(map[string]bool)
	for name, who := range subjects {
		c := r.Caps(who)
		if who.Kind == SubjectUser || who.Kind == SubjectUnknown {
			if c != (Caps{}) {
				t.Errorf("%s has caps", name)
			}
			continue
		}
		seen[c.Ver] = true
		reply := ask(who, c.InfoNode())
		info, err := ParseInfo(reply.Payload)
		if err != nil || c.Verify(info) != nil || reply.Payload.Attribute("node") != c.InfoNode() {
			t.Errorf("%s: %v, %s", name, err, reply.Append(nil))
		}
	}
	if len(seen) != 5 {
		t.Errorf("%d hashes", len(seen))
	}
	// A phone that lost capabilities still answers for what it announced before.
	before, now := subjects["video phone"], subjects["sms"]
	info, err := ParseInfo(ask(now, r.Caps(before).InfoNode()).Payload)
	if err != nil || r.Caps(before).Verify(info) != nil || !info.Features.Has(xmpp.NSJingle) {
		t.Error(info, err)
	}
	// But one kind does not answer for another, and nobody for what he is not.
	for _, tt := range []struct {
		who  Subject
		node string
	}{
		{subjects["gateway"], r.Caps(now).InfoNode()},
		{now, r.Caps(subjects["gateway"]).InfoNode()},
		{subjects["user"], r.Caps(now).InfoNode()},
		{now, "https://gw.example/#nonsense"},
		{now, "https://gw.example/"},
		{now, "http://elsewhere#" + r.Caps(now).Ver},
		{subjects["gateway"], xmpp.NSCommands},
	} {
		if reply := ask(tt.who, tt.node); reply.Error == nil || reply.Error.Condition != xmpp.ConditionItemNotFound {
			t.Errorf("%s: %s", tt.node, reply.Append(nil))
		}
	}
	if reply := ask(Subject{}, r.Caps(now).InfoNode()); reply.Error == nil || reply.Error.Condition != xmpp.ConditionServiceUnavailable {
		t.Errorf("%s", reply.Append(nil))
	}
}

func TestAnswerOdd(t *testing.T) {
	r := NewResponder(Config{})
	gw := Subject{Kind: SubjectGateway}
	for _, typ := range []xmpp.IQType{xmpp.IQResult, xmpp.IQError} {
		if reply := r.Answer(&xmpp.IQ{Type: typ, Payload: xmpp.NewElement(xmpp.NSPing, "ping")}, gw); reply != nil {
			t.Errorf("%s answered", typ)
		}
	}
	if reply := r.Answer(&xmpp.IQ{Type: xmpp.IQGet}, gw); reply.Error.Condition != xmpp.ConditionBadRequest {
		t.Error(reply)
	}
	if reply := r.Answer(&xmpp.IQ{Type: xmpp.IQGet, Payload: xmpp.NewElement(xmpp.NSPing, "ping")}, Subject{Kind: 77}); reply.Error.Condition != xmpp.ConditionServiceUnavailable {
		t.Error(reply)
	}
	for k, want := range map[Kind]string{SubjectUnknown: "unknown", SubjectGateway: "gateway", SubjectUser: "user", SubjectResource: "resource", 77: "unknown"} {
		if k.String() != want {
			t.Error(k)
		}
	}
	if got := r.Info(Subject{}); len(got.Identities) != 0 || got.Features.Len() != 0 {
		t.Error(got)
	}
}

func BenchmarkCaps(b *testing.B) {
	r := NewResponder(Config{})
	who := Subject{Kind: SubjectResource, Capabilities: ChatStates | Receipts}
	b.ReportAllocs()
	for b.Loop() {
		r.Caps(who)
	}
}

func BenchmarkAnswerInfo(b *testing.B) {
	r := NewResponder(Config{})
	who := Subject{Kind: SubjectResource, Capabilities: ChatStates | Receipts | Audio}
	iq := &xmpp.IQ{Type: xmpp.IQGet, ID: "1", Payload: r.Caps(who).Query()}
	b.ReportAllocs()
	for b.Loop() {
		r.Answer(iq, who)
	}
}

func BenchmarkNewResponder(b *testing.B) {
	for b.Loop() {
		NewResponder(Config{})
	}
}
