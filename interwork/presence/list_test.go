package presence

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	eva  = xmpp.MustJID("eva@chat.harbor.example")
	paul = xmpp.MustJID("paul@chat.harbor.example")
)

func TestMembers(t *testing.T) {
	records := map[xmpp.JID]Record{
		mira:                         {Share: Granted},
		eva:                          {Watch: Granted},
		paul:                         {Share: Asked, Watch: Denied},
		xmpp.MustJID("no@h.example"): {Share: Denied, Watch: Granted},
		xmpp.MustJID("x@h.example"):  {Watch: Denied},
	}
	require.Equal(t, []Member{{JID: eva}, {JID: mira}, {JID: paul}}, Members(maps.All(records)))
}

func TestList(t *testing.T) {
	l := NewList([]Member{{JID: mira, Name: "Mira"}, {JID: eva}, {JID: mira}})
	require.True(t, l.Changed())
	entries, full := l.Next(false)
	require.True(t, full)
	require.Equal(t, []Entry{{Member: Member{mira, "Mira"}}, {Member: Member{JID: eva}}}, entries)
	require.False(t, l.Changed())

	require.True(t, l.Update(desk, Notification{State: DialogActive, Document: true, Resources: mapping.Resources{{Name: "desk"}, {Name: "phone", Closed: true}}}))
	require.False(t, l.Update(paul, Notification{State: DialogActive}))
	entries, full = l.Next(false)
	require.False(t, full)
	require.Len(t, entries, 1)
	require.Len(t, entries[0].Resources, 2)
	entries, _ = l.Next(true)
	require.Len(t, entries, 2)
	require.Len(t, entries[0].Resources, 1, "gone is told once")

	require.True(t, l.Update(eva, Notification{State: DialogTerminated, Reason: sip.ReasonRejected}))
	entries, _ = l.Next(false)
	require.Equal(t, sip.ReasonRejected, entries[0].Reason)
	entries, _ = l.Next(true)
	require.Equal(t, DialogUnknown, entries[1].State, "and what is over too")

	added, removed := l.Set([]Member{{JID: paul}, {JID: mira, Name: "Mira"}})
	require.Equal(t, []Member{{JID: paul}}, added)
	require.Equal(t, []Member{{JID: eva}}, removed)
	entries, full = l.Next(false)
	require.True(t, full, "nobody is taken away by a partial list")
	require.Equal(t, paul, entries[0].JID)
	require.Equal(t, DialogActive, entries[1].State)
	added, removed = l.Set([]Member{{JID: paul}, {JID: mira, Name: "Mira Müller"}})
	require.Empty(t, added)
	require.Empty(t, removed)
	entries, full = l.Next(false)
	require.False(t, full)
	require.Len(t, entries, 1)
	require.Equal(t, "Mira Müller", entries[0].Name)
}

// A list is fed by pairs: what they tell the list's dialog.
func TestListOfPairs(t *testing.T) {
	l := NewList([]Member{{JID: mira}})
	w := sharedWorld(t)
	feed := &feeder{world: w, list: l}
	w.pair.ports = feed
	w.do(Watched{Watcher: "list-1", Quiet: true})
	entries, _ := l.Next(true)
	require.Equal(t, DialogActive, entries[0].State)
	require.Equal(t, "desk", entries[0].Resources[0].Name)
	w.do(shows(desk, "away"))
	entries, full := l.Next(false)
	require.False(t, full)
	require.Equal(t, xmpp.ShowAway, entries[0].Resources[0].Show)
}

type feeder struct {
	*world
	list *List
}

func (f *feeder) Notify(flow, watcher string, n Notification) {
	if watcher == "list-1" {
		f.list.Update(mira, n)
		return
	}
	f.world.Notify(flow, watcher, n)
}

func TestMayWatchWatchers(t *testing.T) {
	u := func(s string) sip.URI { v, _ := sip.ParseURI(s); return v }
	require.True(t, MayWatchWatchers(u("sip:otto@h"), u("sip:otto@h;transport=tcp")))
	require.False(t, MayWatchWatchers(u("sip:eva@h"), u("sip:otto@h")))
	require.False(t, MayWatchWatchers(sip.URI{}, sip.URI{}))
}

func TestSeeding(t *testing.T) {
	self := xmpp.MustJID("sip.harbor.example")
	contacts := []Contact{{JID: otto, Name: "Otto <O>", Groups: []string{"SIP", ""}}, {JID: xmpp.MustJID("+493012@sip.harbor.example")}}
	m := RosterExchange(self, mira, "seed", ExchangeAdd, contacts, "Two contacts")
	require.Len(t, m, 1)
	require.Equal(t, `<message from='sip.harbor.example' to='mira@chat.harbor.example' id='seed-0'>`+
		`<body>Two contacts</body><x xmlns='http://jabber.org/protocol/rosterx'>`+
		`<item jid='otto\40voice.quay.example@sip.harbor.example' name='Otto &lt;O&gt;' action='add'><group>SIP</group></item>`+
		`<item jid='+493012@sip.harbor.example' action='add'/></x></message>`, string(m[0].Append(nil)))
	require.Len(t, RosterExchange(self, mira, "seed", ExchangeDelete, make([]Contact, 130), ""), 3)
	require.Empty(t, RosterExchange(self, mira, "seed", ExchangeAdd, nil, ""))

	iq := RosterSets(self, desk, "set", contacts)
	require.Len(t, iq, 2)
	require.Equal(t, `<iq from='sip.harbor.example' to='mira@chat.harbor.example' id='set-1' type='set'>`+
		`<query xmlns='jabber:iq:roster'><item jid='+493012@sip.harbor.example'/></query></iq>`, string(iq[1].Append(nil)))
	require.Contains(t, string(RosterRemoval(self, mira, "rm", otto).Append(nil)), `subscription='remove'`)

	read := func(s string) (Privileges, bool) {
		st, err := xmpp.ReadStanza([]byte(s))
		require.NoError(t, err)
		return PrivilegesOf(st.(*xmpp.Message))
	}
	p, ok := read(`<message from='chat.harbor.example' to='sip.harbor.example'><privilege xmlns='urn:xmpp:privilege:2'>` +
		`<perm access='roster' type='both'/><perm access='message' type='outgoing'/><perm access='presence' type='managed_entity'/></privilege></message>`)
	require.True(t, ok)
	require.Equal(t, Privileges{true, true, true, true}, p)
	p, ok = read(`<message from='chat.harbor.example' to='sip.harbor.example'><privilege xmlns='urn:xmpp:privilege:2'><perm access='roster' type='get'/><other/></privilege></message>`)
	require.True(t, ok)
	require.Equal(t, Privileges{RosterGet: true}, p)
	_, ok = read(`<message from='chat.harbor.example' to='sip.harbor.example'><body>hello</body></message>`)
	require.False(t, ok)
}
