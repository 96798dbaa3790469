package xmpp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gosrc.io/xmpp/stanza"
	"pgregory.net/rapid"
)

// readers are the ways in which bytes may arrive.
var readers = map[string]func(string) io.Reader{
	"whole":   func(s string) io.Reader { return strings.NewReader(s) },
	"bytes":   func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) },
	"halves":  func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) },
	"dataErr": func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) },
}

// open returns a decoder that has read the stream header.
func open(t *testing.T, r io.Reader, l Limits) *Decoder {
	t.Helper()
	d := NewDecoder(r, l)
	_, err := d.Open()
	require.NoError(t, err)
	return d
}

func TestDecoderStream(t *testing.T) {
	const stream = sampleHeader + "\n \t" + sample + " \r\n<presence/><x:y xmlns:x='u'><![CDATA[</z>]]></x:y>" +
		"<stream:features/></stream:stream >"
	for name, reader := range readers {
		t.Run(name, func(t *testing.T) {
			d := open(t, reader(stream), Limits{})
			assert.Equal(t, "c9f2-77", d.Header().Attribute("id"))
			assert.True(t, d.Header().Is(NSStream, "stream"))
			assert.Equal(t, NSComponentAccept, d.Namespace())

			e, err := d.Next()
			require.NoError(t, err)
			assert.True(t, e.Is(NSComponentAccept, "message"))
			assert.Equal(t, sample, string(d.Raw()))
			e, err = d.Next()
			require.NoError(t, err)
			assert.True(t, e.Is(NSComponentAccept, "presence"))
			e, err = d.Next()
			require.NoError(t, err)
			assert.True(t, e.Is("u", "y"))
			assert.Equal(t, "</z>", e.Text())
			e, err = d.Next()
			require.NoError(t, err)
			assert.True(t, e.Is(NSStream, "features"))
			_, err = d.Next()
			assert.Equal(t, ErrStreamClosed, err)
			_, err = d.Next()
			assert.Equal(t, io.EOF, err)
		})
	}
}

func TestDecoderErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", io.EOF},
		{"  ", io.EOF},
		{"<a>", io.ErrUnexpectedEOF},
		{"<a", io.ErrUnexpectedEOF},
		{"<a b='", io.ErrUnexpectedEOF},
		{"<a><![CDATA[", io.ErrUnexpectedEOF},
		{"text", ErrNotWellFormed},
		{"</stream>", ErrNotWellFormed},
		{"</other:stream>", ErrNotWellFormed},
		{"<a></b>", ErrNotWellFormed},
		{"<!-- -->", ErrRestrictedXML},
		{"<a><!-- --></a>", ErrRestrictedXML},
		{"<?xml version='1.0'?>", ErrRestrictedXML},
		{"<a><?x?></a>", ErrRestrictedXML},
		{"<!DOCTYPE x>", ErrRestrictedXML},
	} {
		for name, reader := range readers {
			_, err := open(t, reader(sampleHeader+c.in), Limits{}).Next()
			assert.ErrorIs(t, err, c.want, "%s %s", name, c.in)
		}
	}
	_, err := open(t, io.MultiReader(strings.NewReader(sampleHeader+"<a>"), iotest.ErrReader(broken)), Limits{}).Next()
	assert.ErrorIs(t, err, broken)
	_, err = open(t, io.MultiReader(strings.NewReader(sampleHeader), silent{}), Limits{}).Next()
	assert.ErrorIs(t, err, io.ErrNoProgress)
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestDecoderOpen(t *testing.T) {
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", io.EOF},
		{"HTTP/1.1 400 Bad Request\r\n\r\n", ErrBadStream},
		{"<?xml version='1.0'?>", io.EOF},
		{"<?xml version='1.0'", io.ErrUnexpectedEOF},
		{"<stream:stream", io.ErrUnexpectedEOF},
		{"<stream:stream/>", ErrBadStream},
		{"<stream:stream>", ErrNotWellFormed},
		{"<!DOCTYPE x><a>", ErrRestrictedXML},
		{"<!-- --><a>", ErrRestrictedXML},
		{"<?php?><a>", ErrRestrictedXML},
		{"<a b='" + strings.Repeat("x", 2000) + "'>", ErrBadStream},
	} {
		_, err := NewDecoder(strings.NewReader(c.in), Limits{Bytes: 1000}).Open()
		assert.ErrorIs(t, err, c.want, c.in)
	}
}

// A stream is restarted on the same connection after SASL.
func TestDecoderRestart(t *testing.T) {
	d := open(t, strings.NewReader(sampleHeader+"<a/>\n<?xml version='1.0'?><s:stream xmlns:s='"+NSStream+"' xmlns='"+NSClient+"'><b/><stream:x/>"), Limits{})
	e, err := d.Next()
	require.NoError(t, err)
	assert.Equal(t, NSComponentAccept, e.Name.Space)
	_, err = d.Open()
	require.NoError(t, err)
	e, err = d.Next()
	require.NoError(t, err)
	assert.Equal(t, NSClient, e.Name.Space)
	_, err = d.Next()
	assert.ErrorIs(t, err, ErrNotWellFormed, "the scope of the first header is gone")
}

func TestDecoderInitStream(t *testing.T) {
	d := NewDecoder(strings.NewReader(sampleHeader+sample+"</stream:stream>"), Limits{})
	assert.Equal(t, "", d.Namespace())
	id, err := stanza.InitStream(d.XML())
	require.NoError(t, err)
	assert.Equal(t, "c9f2-77", id)
	e, err := d.Next()
	require.NoError(t, err)
	assert.True(t, e.Is(NSComponentAccept, "message"))
	_, err = d.Next()
	assert.Equal(t, ErrStreamClosed, err)

	_, err = stanza.InitStream(NewDecoder(strings.NewReader("<a>"), Limits{}).XML())
	assert.ErrorContains(t, err, "expected <stream>")
	_, err = stanza.InitStream(NewDecoder(strings.NewReader("x"), Limits{}).XML())
	assert.ErrorIs(t, err, ErrBadStream)
}

func TestDecoderLimits(t *testing.T) {
	limits := Limits{Bytes: 1000, Depth: 4, Children: 10}
	head := func(kind string) string { return "<" + kind + " from='m@x' to='o@y' id='1' type='chat'" }
	attributes := func(n int, f string) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(strings.ReplaceAll(f, "N", string(rune('a'+i%26))+string(rune('a'+i/26))))
		}
		return b.String()
	}
	for _, c := range []struct {
		name, in string
		header   bool // the start tag could be read
	}{
		{"long text", head("message") + "><body>" + strings.Repeat("x", 5000) + "</body></message>", true},
		{"long text without end in the buffer", head("message") + "><body>" + strings.Repeat("x", 500_000) + "</body></message>", true},
		{"text of markup signs", head("message") + "><body a=\"" + strings.Repeat("/>'", 1000) + "\">" + strings.Repeat("]>", 1000) + "</body></message>", true},
		{"cdata", head("message") + "><body><![CDATA[" + strings.Repeat("</message>]]", 1000) + "]]]></body></message>", true},
		{"long attribute", head("message") + " x='" + strings.Repeat(">", 5000) + "'/>", false},
		{"many elements", head("message") + ">" + strings.Repeat("<a/>", 11) + "</message>", true},
		{"deep", head("message") + ">" + strings.Repeat("<a>", 4) + strings.Repeat("</a>", 4) + "</message>", true},
		{"deeper", head("message") + ">" + strings.Repeat("<a>", 10_000) + strings.Repeat("</a>", 10_000) + "</message>", true},
		{"attributes", head("message") + "><a" + attributes(257, " N=''") + "/></message>", true},
		{"namespaces", head("message") + "><a" + attributes(257, " xmlns:N='u'") + "/></message>", true},
		{"attributes of the stanza", head("message") + attributes(257, " N=''") + "/>", false},
		{"empty element at the end", head("message") + "><body>" + strings.Repeat("<a b='/'/>", 500) + "</body></message>", true},
	} {
		l := limits
		if strings.Contains(c.name, "attributes") || c.name == "namespaces" {
			l.Bytes = 0
		}
		for name, reader := range readers {
			d := open(t, reader(sampleHeader+c.in+"<presence/>"), l)
			_, err := d.Next()
			var e *ErrTooLarge
			if !assert.ErrorAs(t, err, &e, "%s %s", c.name, name) {
				continue
			}
			if c.header {
				assert.Equal(t, ErrTooLarge{Name: e.Name, From: "m@x", To: "o@y", ID: "1", Type: "chat"}, *e, c.name)
				assert.Equal(t, NSComponentAccept, e.Name.Space)
				reply, ok := e.ErrorReply()
				if assert.True(t, ok) {
					assert.Contains(t, string(reply.Append(nil)), "policy-violation")
				}
			} else {
				_, ok := e.ErrorReply()
				assert.False(t, ok)
			}
			next, err := d.Next()
			require.NoError(t, err, "%s %s", c.name, name)
			assert.True(t, next.Is(NSComponentAccept, "presence"))
		}
	}
}

func TestDecoderWithinLimits(t *testing.T) {
	message := "<message>" + strings.Repeat("<a/>", 10) + "<b><c><d/></c></b>" + strings.Repeat(" ", 200) + "</message>"
	l := Limits{Bytes: len(message), Depth: 4, Children: 13}
	d := open(t, strings.NewReader(sampleHeader+message), l)
	_, err := d.Next()
	require.NoError(t, err)
	for _, l := range []Limits{{len(message) - 1, 4, 13}, {len(message), 3, 13}, {len(message), 4, 12}} {
		d := open(t, strings.NewReader(sampleHeader+message), l)
		_, err := d.Next()
		var e *ErrTooLarge
		assert.ErrorAs(t, err, &e, "%v", l)
	}
}

func TestDecoderSkipEndsStream(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for in, want := range map[string]error{
		"<a>" + long:                     io.ErrUnexpectedEOF,
		"<a>" + long + "<!-- --></a>":    ErrRestrictedXML,
		"<a>" + long + "<?p?></a>":       ErrRestrictedXML,
		"<a b='" + long + "</a>":         io.ErrUnexpectedEOF,
		"<a><![CDATA[" + long + "]]</a>": io.ErrUnexpectedEOF,
	} {
		_, err := open(t, strings.NewReader(sampleHeader+in), Limits{Bytes: 1000}).Next()
		assert.ErrorIs(t, err, want, in)
	}
}

// The buffer holds one stanza and what came along with it, and a big one is given back.
func TestDecoderMemory(t *testing.T) {
	big := "<a>" + strings.Repeat("x", 200_000) + "</a>"
	r, w := io.Pipe()
	defer r.Close()
	go func() {
		_, _ = io.WriteString(w, sampleHeader+big)
		for range 10 {
			_, _ = io.WriteString(w, "<b/>")
		}
	}()
	d := open(t, r, Limits{})
	_, err := d.Next()
	require.NoError(t, err)
	assert.Less(t, len(d.f.buf), 600_000)
	_, err = d.Next()
	require.NoError(t, err)
	assert.Less(t, len(d.f.buf), 20_000)
}

// However the bytes are cut, the same elements come out, and each equals what was written.
func TestDecoderAnyCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := []byte(sampleHeader)
		var want []string
		for range rapid.IntRange(1, 5).Draw(t, "n") {
			e := elements().Draw(t, "element")
			in = append(e.Append(in, NSComponentAccept), rapid.SampledFrom([]string{"", " ", "\n\n"}).Draw(t, "space")...)
			want = append(want, e.String())
		}
		cuts := rapid.SliceOfN(rapid.IntRange(1, 50), 1, 100).Draw(t, "cuts")
		d := NewDecoder(&cutReader{data: in, cuts: cuts}, Limits{})
		if _, err := d.Open(); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			e, err := d.Next()
			if err != nil || e.String() != w {
				t.Fatalf("%s: got %s, %v", w, e, err)
			}
		}
	})
}

type cutReader struct {
	data []byte
	cuts []int
	i    int
}

func (r *cutReader) Read(p []byte) (int, error) {
	if len(r.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.cuts[r.i%len(r.cuts)])], r.data)
	r.data = r.data[n:]
	r.i++
	return n, nil
}

// FuzzDecoder feeds a stream: it must end, never panic, and give the same however it is cut.
func FuzzDecoder(f *testing.F) {
	f.Add([]byte(sample), byte(1))
	f.Add([]byte("<a><![CDATA[x]]></a><b c='>'/> </stream:stream>"), byte(3))
	f.Add([]byte("<a>"+strings.Repeat("<b>", 100)+"<c d='"), byte(7))
	f.Add([]byte("<a b='"+strings.Repeat("x", 400)+"'/><c/>"), byte(7))
	f.Add([]byte("<a>"+strings.Repeat("x", 400)+"</a><c/>"), byte(2))
	f.Fuzz(func(t *testing.T, data []byte, cut byte) {
		read := func(r io.Reader) string {
			d := NewDecoder(io.MultiReader(strings.NewReader(sampleHeader), r), Limits{Bytes: 300, Depth: 8, Children: 20})
			if _, err := d.Open(); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			for {
				e, err := d.Next()
				var large *ErrTooLarge
				if errors.As(err, &large) {
					out.WriteString("\n" + large.Error() + large.ID)
					continue
				}
				if err != nil {
					return out.String() + "\n" + err.Error()
				}
				out.WriteString("\n" + e.String())
			}
		}
		a := read(bytes.NewReader(data))
		b := read(&cutReader{data: data, cuts: []int{int(cut%16) + 1}})
		if a != b {
			t.Fatalf("%q: %s\n%s", data, a, b)
		}
	})
}
