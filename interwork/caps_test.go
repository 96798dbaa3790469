package interwork

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/mapping"
)

func TestWhatAUserAcceptsIsCollected(t *testing.T) {
	c := newCapsCache()
	_, known := c.get("sip:otto@x.example")
	require.False(t, known, "the first one asks")
	_, known = c.get("sip:otto@x.example")
	require.True(t, known, "and nobody else does meanwhile")
	c.add("sip:otto@x.example", mapping.PeerCaps{AcceptsIsComposing: true}) // OPTIONS
	c.add("sip:otto@x.example", mapping.PeerCaps{AcceptsCPIM: true})        // was seen to use it
	caps, _ := c.get("sip:otto@x.example")
	require.Equal(t, mapping.PeerCaps{AcceptsIsComposing: true, AcceptsCPIM: true}, caps)
	c.reset("sip:otto@x.example")
	caps, known = c.get("sip:otto@x.example")
	require.True(t, known)
	require.Equal(t, mapping.PeerCaps{}, caps)
}
