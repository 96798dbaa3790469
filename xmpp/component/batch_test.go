package component

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

// batches is a Batcher that notes the order of what it is told.
type batches struct{ told []string }

func (b *batches) HandleStanza(xmpp.Stanza) { b.told = append(b.told, "stanza") }
func (b *batches) LinkChanged(bool, error)  {}
func (b *batches) Hold()                    { b.told = append(b.told, "hold") }
func (b *batches) Release()                 { b.told = append(b.told, "release") }

func TestStanzasThatComeTogether(t *testing.T) {
	b := &batches{}
	c, err := New(Config{Address: "127.0.0.1:5347", Domain: testDomain, Secret: testSecret}, b)
	require.NoError(t, err)
	here, there := net.Pipe()
	defer here.Close()
	l := newLink(&c.cfg, here, c.domain, "p")
	l.batcher = b
	go func() {
		const stanza = "<message from='mira@chat.harbor.example' to='otto@sip.harbor.example'><body>x</body></message>"
		_, _ = io.WriteString(there, "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>")
		_, _ = io.WriteString(there, stanza+stanza)
		_, _ = io.WriteString(there, stanza+"<broken")
		_ = there.Close()
	}()
	_, err = l.dec.Open()
	require.NoError(t, err)
	require.Error(t, c.read(l))
	require.Equal(t, []string{"hold", "stanza", "stanza", "release", "hold", "stanza", "release"}, b.told)
}

func TestNewsThatSeveralWereWritten(t *testing.T) {
	b := &batches{}
	l := &link{batcher: b}
	it := item{written: func(error) { b.told = append(b.told, "written") }}
	l.tellWritten([]item{it})
	require.Equal(t, []string{"written"}, b.told)
	b.told = nil
	l.tellWritten([]item{it, {}, it})
	require.Equal(t, []string{"hold", "written", "written", "release"}, b.told)
}
