package xmpp

import (
	"testing"
)

// sample is a message of the size and shape that clients send: 300 bytes, three extensions.
const sample = `<message from='mira@chat.harbor.example/desk' to='otto@sip.harbor.example' id='b0c4f2aa' type='chat' xml:lang='en'>` +
	`<body>Shall we meet at the quay?</body><active xmlns='http://jabber.org/protocol/chatstates'/>` +
	`<request xmlns='urn:xmpp:receipts'/><markable xmlns='urn:xmpp:chat-markers:0'/></message>`

const sampleHeader = `<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' ` +
	`xmlns:stream='http://etherx.jabber.org/streams' from='sip.harbor.example' id='c9f2-77'>`

// endless repeats data for ever.
type endless struct {
	head, data []byte
	i          int
}

func (r *endless) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	n := copy(p, r.data[r.i:])
	r.i = (r.i + n) % len(r.data)
	return n, nil
}

func BenchmarkDecodeMessage(b *testing.B) {
	d := NewDecoder(&endless{head: []byte(sampleHeader), data: []byte(sample)}, Limits{})
	if _, err := d.Open(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetBytes(int64(len(sample)))
	for b.Loop() {
		e, err := d.Next()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ParseStanza(e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	d := NewDecoder(&endless{head: []byte(sampleHeader), data: []byte(sample)}, Limits{})
	if _, err := d.Open(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := d.f.next(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendMessage(b *testing.B) {
	s, err := ReadStanza([]byte(sample))
	if err != nil {
		b.Fatal(err)
	}
	b.Run("fresh", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = s.Append(make([]byte, 0, 512))
		}
	})
	b.Run("reused", func(b *testing.B) {
		var dst []byte
		b.ReportAllocs()
		for b.Loop() {
			dst = s.Append(dst[:0])
		}
	})
}

func BenchmarkParseJID(b *testing.B) {
	for _, c := range []struct{ name, in string }{
		{"ascii", "mira@chat.harbor.example/desk"},
		{"upper", "Mira@Chat.Harbor.Example/Desk"},
		{"unicode", "jürgen@chat.harbor.example/Büro"},
		{"idn", "mira@bücher.example"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseJID(c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseElement(b *testing.B) {
	data := []byte(sample)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseElement(data); err != nil {
			b.Fatal(err)
		}
	}
}
