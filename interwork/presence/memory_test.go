package presence

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/rs/zerolog"

	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip/watcherinfo"
	"github.com/stoxgate/stoxgate/xmpp"
)

// silentPorts is a gateway that takes everything and keeps nothing.
type silentPorts struct {
	sub    string
	notify func()
	posted Event
	load   func(Record, error)
}

var silence = zerolog.Nop()

func (*silentPorts) LinkUp() bool                                   { return true }
func (*silentPorts) Addresses() (user, contact xmpp.JID)            { return mira, otto }
func (*silentPorts) Nick() string                                   { return "" }
func (*silentPorts) Send(string, *xmpp.Presence, func(error)) error { return nil }
func (*silentPorts) Caps(*mapping.Resource) *xmpp.Element           { return nil }
func (*silentPorts) Photo(*mapping.Resource) *xmpp.Element          { return nil }
func (*silentPorts) Presentity() Presentity                         { return Presentity{} }
func (p *silentPorts) Subscribe(string, int) string                 { return p.sub }
func (*silentPorts) Refresh(string, string)                         {}
func (*silentPorts) Unsubscribe(string, string)                     {}
func (*silentPorts) Fetch(string) string                            { return "f" }
func (*silentPorts) WatchLocal(bool)                                {}
func (*silentPorts) Silent()                                        {}
func (*silentPorts) Allow(Direction) Decision                       { return Confirm }
func (*silentPorts) Watched(watcherinfo.Status, watcherinfo.Event)  {}
func (p *silentPorts) Load(f func(Record, error))                   { p.load = f }
func (*silentPorts) Save(Record, func(error)) error                 { return nil }
func (*silentPorts) SetTimer(time.Duration)                         {}
func (p *silentPorts) Post(e Event)                                 { p.posted = e }
func (*silentPorts) Log(string) *zerolog.Logger                     { return &silence }
func (*silentPorts) Count(Direction, string)                        {}
func (p *silentPorts) Notify(string, string, Notification) {
	if p.notify != nil {
		p.notify()
	}
}

func silentPair(s *Settings, n int) (*Pair, *silentPorts) {
	ports := &silentPorts{sub: fmt.Sprintf("3b1e%016x@gateway.harbor.example", n)}
	p := NewPair(s, ports)
	p.isLoaded = true
	return p, ports
}

// watchingPair is a pair with one granted subscription to one device.
func watchingPair(s *Settings, n int) *Pair {
	p, ports := silentPair(s, n)
	p.Handle(from(mira, xmpp.PresenceSubscribe))
	p.Handle(Notified{ID: ports.sub, Fork: fmt.Sprintf("a%08x", n), State: DialogActive, Document: document(fmt.Sprintf("phone-%d=away", n))})
	p.Handle(saved{})
	return p
}

// sharingPair is a pair with one dialog of his that sees one resource of hers.
func sharingPair(s *Settings, n int) *Pair {
	p, _ := silentPair(s, n)
	p.Handle(Watched{Watcher: fmt.Sprintf("tag-%08x", n)})
	p.Handle(from(mira, xmpp.PresenceSubscribed))
	j, _ := mira.WithResource(fmt.Sprintf("resource-%d", n))
	p.Handle(shows(j, "away"))
	p.due.clear(dueHeld)
	p.release()
	p.Handle(saved{})
	return p
}

// bytesPerPair measures what n pairs hold, without what their ports are made of.
func bytesPerPair(n int, build func(*Settings, int) *Pair) int {
	s := Settings{}.WithDefaults()
	pairs := make([]*Pair, n)
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range pairs {
		pairs[i] = build(s, i)
		pairs[i].ports = nil
	}
	after := heap()
	runtime.KeepAlive(pairs)
	return int(after-before) / n
}

// 100,000 subscriptions have to fit into one process, with under 4 KB each for everything.
func TestPairsAreSmall(t *testing.T) {
	const limit = 1500
	const n = 5000
	for name, build := range map[string]func(*Settings, int) *Pair{
		"watching": watchingPair, "sharing": sharingPair,
		"both": func(s *Settings, i int) *Pair {
			p := watchingPair(s, i)
			p.Handle(Watched{Watcher: fmt.Sprintf("tag-%08x", i)})
			p.Handle(from(mira, xmpp.PresenceSubscribed))
			p.Handle(shows(desk, "away"))
			p.due.clear(dueHeld)
			p.release()
			p.Handle(saved{})
			return p
		},
	} {
		got := bytesPerPair(n, build)
		t.Logf("%s: %d bytes for each pair, of which the struct has %d", name, got, unsafe.Sizeof(Pair{}))
		if got > limit {
			t.Errorf("%s: %d bytes for each pair, want at most %d", name, got, limit)
		}
	}
}

// BenchmarkNotifyFanOut is one change of her presence for one watcher.
func BenchmarkNotifyFanOut(b *testing.B) {
	s := Settings{}.WithDefaults()
	p := sharingPair(s, 1)
	events := [...]Event{shows(p.from("resource-1"), "dnd"), shows(p.from("resource-1"), "away")}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p.Handle(events[i%2])
	}
}

// BenchmarkNotifyReceived is one document of his that changes something for her.
func BenchmarkNotifyReceived(b *testing.B) {
	s := Settings{}.WithDefaults()
	p := watchingPair(s, 1)
	events := [...]Event{
		Notified{ID: p.sub, Fork: p.forks[0], State: DialogActive, Document: document("phone-1")},
		Notified{ID: p.sub, Fork: p.forks[0], State: DialogActive, Document: document("phone-1=away")},
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		p.Handle(events[i%2])
	}
}

// BenchmarkRestore is one pair with a dialog in each direction after a restart.
func BenchmarkRestore(b *testing.B) {
	s := Settings{}.WithDefaults()
	r := Record{Watch: Granted, Share: Granted, Wanted: true, Shown: []string{"1a 2b phone"}, WatchSince: time.Now(), ShareSince: time.Now()}
	b.ReportAllocs()
	for range b.N {
		NewPair(s, &silentPorts{}).Handle(Restored{Record: r, Watchers: []string{"d1"}, Subscription: "s1"})
	}
}

func (p *Pair) from(resource string) xmpp.JID {
	user, _ := p.ports.Addresses()
	j, _ := user.WithResource(resource)
	return j
}
