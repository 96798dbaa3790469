package avatar

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/stoxgate/stoxgate/xmpp"
)

var (
	mira   = xmpp.MustJID("mira@chat.harbor.example")
	jonas  = xmpp.MustJID("jonas@chat.harbor.example")
	ottoJ  = xmpp.MustJID("otto@sip.harbor.example")
	noraJ  = xmpp.MustJID("nora@sip.harbor.example")
	absent = &xmpp.StanzaError{Type: xmpp.ErrorCancel, Condition: xmpp.ConditionItemNotFound}
)

// homes are the servers of users: their vCards and PEP nodes.
type homes struct {
	mu     sync.Mutex
	vcards map[xmpp.JID][]byte
	nodes  map[xmpp.JID][]byte
	err    error
	takes  time.Duration
	asked  []string
}

func (h *homes) ask(ctx context.Context, from, to xmpp.JID, query *xmpp.Element) (*xmpp.Element, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, fmt.Sprintf("%s %s %s", from.Local(), query.Name.Local, to.Local()))
	if h.takes > 0 {
		h.mu.Unlock()
		select {
		case <-time.After(h.takes):
		case <-ctx.Done():
		}
		h.mu.Lock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if h.err != nil {
		return nil, h.err
	}
	if query.Is(xmpp.NSVCard, "vCard") {
		if h.vcards[to] == nil {
			return xmpp.NewElement(xmpp.NSVCard, "vCard"), nil
		}
		return xmpp.NewElement(xmpp.NSVCard, "vCard").Add((&Picture{Data: h.vcards[to]}).Photo()), nil
	}
	p, err := inspect(h.nodes[to], 1<<20)
	q, _ := ReadItemsQuery(query)
	answer := q.Answer(p)
	if err != nil || answer == nil {
		return nil, absent
	}
	return answer, nil
}

func (h *homes) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	asked := h.asked
	h.asked = nil
	return asked
}

func newHomes(t *testing.T, change func(*GalleryConfig)) (*homes, *Gallery) {
	h := &homes{vcards: make(map[xmpp.JID][]byte), nodes: make(map[xmpp.JID][]byte)}
	cfg := GalleryConfig{Ask: h.ask}
	if change != nil {
		change(&cfg)
	}
	g := NewGallery(cfg)
	t.Cleanup(g.Close)
	return h, g
}

// Only a hash that was told is served, found in the name of who was told, asked for once,
// and gone when he may not see her any more.
func TestGallery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := newHomes(t, nil)
		p := pictureOf(t, 1)
		h.vcards[mira] = p.Data
		_, err := g.Picture(t.Context(), p.Hash)
		require.ErrorIs(t, err, ErrUnknown)
		for _, bad := range []string{"", "x", p.Hash + "00", p.Hash[:39] + "g", "../../etc/passwd"} {
			g.Offer(bad, mira, ottoJ)
			_, err := g.Picture(t.Context(), bad)
			require.ErrorIs(t, err, ErrUnknown)
		}
		require.Empty(t, h.take(), "nobody is asked for what was not told")

		g.Offer(p.Hash, mira, ottoJ)
		g.Offer(p.Hash, mira, noraJ)
		g.Offer(p.Hash, mira, noraJ)
		got, err := g.Picture(t.Context(), p.Hash)
		require.NoError(t, err)
		require.Equal(t, p, got)
		require.Equal(t, []string{"nora vCard mira"}, h.take())
		_, err = g.Picture(t.Context(), p.Hash)
		require.NoError(t, err)
		require.Empty(t, h.take(), "it is kept")

		g.Revoke(mira, noraJ)
		_, err = g.Picture(t.Context(), p.Hash)
		require.NoError(t, err, "otto may")
		g.Revoke(jonas, ottoJ)
		g.Revoke(mira, ottoJ)
		_, err = g.Picture(t.Context(), p.Hash)
		require.ErrorIs(t, err, ErrUnknown)
		require.Empty(t, g.users)
		require.Empty(t, g.offers)
		require.Zero(t, g.bytes)

		g.Offer(p.Hash, mira, ottoJ)
		time.Sleep(lasting - time.Second)
		_, err = g.Picture(t.Context(), p.Hash)
		require.NoError(t, err)
		time.Sleep(time.Second)
		_, err = g.Picture(t.Context(), p.Hash)
		require.ErrorIs(t, err, ErrUnknown, "nobody was told for a day")
		require.Empty(t, g.users)
	})
}

// What is not the picture is not served, and not asked for again at once.
func TestGalleryFindsNothing(t *testing.T) {
	p, other := pictureOf(t, 1), pictureOf(t, 2)
	html := []byte("<html>")
	for _, tt := range []struct {
		name string
		set  func(*homes)
		hash string
		want error
	}{
		{"no picture", func(*homes) {}, p.Hash, ErrUnknown},
		{"another one", func(h *homes) { h.vcards[mira], h.nodes[mira] = other.Data, other.Data }, p.Hash, ErrUnknown},
		{"no picture at all", func(h *homes) { h.vcards[mira] = html }, sha1Of(html), ErrUnknown},
		{"bomb", func(h *homes) { h.vcards[mira] = hugePNG(t, 50000, 50000) }, sha1Of(hugePNG(t, 50000, 50000)), ErrUnknown},
		{"too large", func(h *homes) { h.vcards[mira] = append(pngOf(t, 8, 8, 1), make([]byte, DefaultMaxBytes)...) }, sha1Of(append(pngOf(t, 8, 8, 1), make([]byte, DefaultMaxBytes)...)), ErrUnknown},
		{"forbidden", func(h *homes) { h.err = &xmpp.StanzaError{Type: xmpp.ErrorAuth, Condition: xmpp.ConditionForbidden} }, p.Hash, ErrUnknown},
		{"busy", func(h *homes) {
			h.err = &xmpp.StanzaError{Type: xmpp.ErrorWait, Condition: xmpp.ConditionResourceConstraint}
		}, p.Hash, ErrUnavailable},
		{"no link", func(h *homes) { h.err = errors.New("link down") }, p.Hash, ErrUnavailable},
		{"no answer", func(h *homes) { h.takes = time.Hour }, p.Hash, ErrUnavailable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, g := newHomes(t, nil)
				tt.set(h)
				g.Offer(tt.hash, mira, ottoJ)
				begin := time.Now()
				_, err := g.Picture(t.Context(), tt.hash)
				require.ErrorIs(t, err, tt.want)
				require.LessOrEqual(t, time.Since(begin), waitTime)
				synctest.Wait()
				require.Equal(t, []string{"otto vCard mira", "otto pubsub mira"}, h.take())
				_, err = g.Picture(t.Context(), tt.hash)
				require.ErrorIs(t, err, tt.want)
				if tt.want == ErrUnknown {
					require.Empty(t, h.take())
					time.Sleep(unfound)
					_, _ = g.Picture(t.Context(), tt.hash)
				}
				require.NotEmpty(t, h.take())
			})
		})
	}
}

// A picture that only her PEP node has, and one that two users have.
func TestGalleryLooksFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := newHomes(t, nil)
		p, other := pictureOf(t, 1), pictureOf(t, 2)
		h.vcards[mira], h.nodes[mira] = other.Data, p.Data
		g.Offer(p.Hash, mira, ottoJ)
		got, err := g.Picture(t.Context(), p.Hash)
		require.NoError(t, err)
		require.Equal(t, p, got)

		h.vcards[jonas] = other.Data
		delete(h.vcards, mira)
		g.Offer(other.Hash, jonas, ottoJ)
		g.Offer(other.Hash, mira, ottoJ) // who has changed it since
		_, err = g.Picture(t.Context(), other.Hash)
		require.NoError(t, err)
		g.Revoke(jonas, ottoJ)
		_, err = g.Picture(t.Context(), other.Hash)
		require.NoError(t, err)
	})
}

// Those who wait share one question, and their number is bounded.
func TestGalleryUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := newHomes(t, nil)
		h.takes = 3 * time.Second
		p := pictureOf(t, 1)
		h.vcards[mira] = p.Data
		g.Offer(p.Hash, mira, ottoJ)
		results := make(chan error, askers+10)
		for range askers + 10 {
			go func() {
				_, err := g.Picture(t.Context(), p.Hash)
				results <- err
			}()
		}
		busy := 0
		for range askers + 10 {
			if err := <-results; errors.Is(err, ErrUnavailable) {
				busy++
			} else {
				require.NoError(t, err)
			}
		}
		require.Equal(t, 10, busy)
		require.Len(t, h.take(), 1)
		require.Zero(t, g.wait)

		// One who goes away stops nobody else.
		q := pictureOf(t, 2)
		h.vcards[jonas] = q.Data
		g.Offer(q.Hash, jonas, ottoJ)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, err := g.Picture(ctx, q.Hash)
			results <- err
		}()
		go func() {
			_, err := g.Picture(t.Context(), q.Hash)
			results <- err
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-results, context.Canceled)
		require.NoError(t, <-results)
	})
}

// A permission that goes while the picture is on its way goes for it too.
func TestRevokedWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := newHomes(t, nil)
		h.takes = time.Second
		p := pictureOf(t, 1)
		h.vcards[mira] = p.Data
		g.Offer(p.Hash, mira, ottoJ)
		result := make(chan error, 1)
		go func() {
			_, err := g.Picture(t.Context(), p.Hash)
			result <- err
		}()
		synctest.Wait()
		g.Revoke(mira, ottoJ)
		require.ErrorIs(t, <-result, ErrUnknown)
		require.Zero(t, g.bytes)
	})
}

func TestGalleryBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := len(pictureOf(t, 0).Data)
		h, g := newHomes(t, func(c *GalleryConfig) { c.CacheBytes = 2*size + size/2 })
		for n := range 5 {
			p := pictureOf(t, uint8(n+1))
			h.vcards[mira] = p.Data
			g.Offer(p.Hash, mira, ottoJ)
			_, err := g.Picture(t.Context(), p.Hash)
			require.NoError(t, err)
		}
		require.LessOrEqual(t, g.bytes, g.cfg.CacheBytes)
		require.Len(t, g.users[mira], 5)
		p := pictureOf(t, 1)
		for n := range 3 * maxGrants {
			g.Offer(p.Hash, xmpp.MustJID(fmt.Sprintf("u%d@chat.harbor.example", n)), noraJ)
		}
		require.Len(t, g.offers[mustHash(t, p.Hash)].grants, maxGrants)
		require.Len(t, g.users[mira], 4)
		require.Len(t, g.users, maxGrants+1)

		time.Sleep(lasting)
		for n := range 20 {
			g.Offer(pictureOf(t, uint8(100+n)).Hash, jonas, ottoJ)
		}
		require.Len(t, g.offers, 20, "old ones go as new ones come")
		require.Len(t, g.users, 1)
		require.Equal(t, len(g.offers), g.order.Len())
	})
}

// The end does not wait for a server.
func TestCloseWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, g := newHomes(t, nil)
		h.takes = time.Hour
		p := pictureOf(t, 1)
		g.Offer(p.Hash, mira, ottoJ)
		result := make(chan error, 1)
		go func() {
			_, err := g.Picture(t.Context(), p.Hash)
			result <- err
		}()
		synctest.Wait()
		g.Close()
		require.ErrorIs(t, <-result, ErrUnavailable)
		_, err := g.Picture(t.Context(), p.Hash)
		require.ErrorIs(t, err, ErrUnavailable)
	})
}

func mustHash(t *testing.T, s string) hashName {
	h, ok := parseHash(s)
	require.True(t, ok)
	return h
}
