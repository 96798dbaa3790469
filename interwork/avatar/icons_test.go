package avatar

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// web is what the addresses of pictures lead to, and what was asked of it.
type web struct {
	t     *testing.T
	icons *Icons

	mu       sync.Mutex
	pictures map[string]*Picture // by URI; nil: gone
	err      error
	takes    time.Duration
	asked    []string
	v        []validators
	running  map[string]int // by host
	most     int            // at a time, of one host
	mostAll  int
	told     []string // contact and URI
}

func newWeb(t *testing.T, change func(*IconsConfig)) *web {
	w := &web{t: t, pictures: make(map[string]*Picture), running: make(map[string]int), takes: time.Millisecond}
	cfg := IconsConfig{Changed: func(contact, uri string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, contact+" "+uri)
	}}
	if change != nil {
		change(&cfg)
	}
	w.icons = NewIcons(cfg)
	w.icons.get = w.get
	t.Cleanup(w.icons.Close)
	return w
}

func (w *web) get(ctx context.Context, uri string, v validators) (fetched, error) {
	host := strings.Split(uri, "/")[2]
	w.mu.Lock()
	w.asked, w.v = append(w.asked, uri), append(w.v, v)
	w.running[host]++
	all := 0
	for _, n := range w.running {
		all += n
	}
	w.most, w.mostAll = max(w.most, w.running[host]), max(w.mostAll, all)
	takes := w.takes
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.running[host]--
		w.mu.Unlock()
	}()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return fetched{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pictures[uri]
	switch {
	case w.err != nil:
		return fetched{}, w.err
	case p == nil:
		return fetched{}, errGone
	case v.tag == p.Hash:
		return fetched{validators: v}, nil
	}
	return fetched{p, validators{tag: p.Hash}}, nil
}

// take gives what was asked for and who was told since the last call.
func (w *web) take() (asked, told []string) {
	time.Sleep(2 * time.Millisecond) // longer than a fetch takes, if nothing else is said
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	asked, told, w.asked, w.told = w.asked, w.told, nil, nil
	return asked, told
}

func (w *web) shows(contact, uri, hash string, known bool) {
	w.t.Helper()
	h, k := w.icons.Show(contact, uri)
	require.Equal(w.t, hash, h)
	require.Equal(w.t, known, k)
}

const (
	otto = "sip:otto@quay.example"
	nora = "sip:nora@quay.example"
	link = "https://quay.example/otto.png?t=1"
)

// A picture is fetched once for all who are shown it, told once, asked for again after an
// hour, and gone when it is gone.
func TestIconArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, nil)
		a, b := pictureOf(t, 1), pictureOf(t, 2)
		w.pictures[link] = a
		w.shows(otto, "", "", true)
		w.shows(otto, link, "", false)
		w.shows(otto, link, "", false)
		w.shows(nora, link, "", false)
		asked, told := w.take()
		require.Equal(t, []string{link}, asked)
		require.ElementsMatch(t, []string{otto + " " + link, nora + " " + link}, told)
		w.shows(otto, link, a.Hash, true)
		require.Equal(t, a, w.icons.Picture(otto, link))
		require.Nil(t, w.icons.Picture(otto, "https://quay.example/other"))

		time.Sleep(fresh - time.Second)
		w.shows(otto, link, a.Hash, true)
		asked, told = w.take()
		require.Empty(t, asked)
		require.Empty(t, told)
		time.Sleep(2 * time.Second)
		w.shows(otto, link, a.Hash, true)
		asked, told = w.take()
		require.Len(t, asked, 1)
		require.Equal(t, a.Hash, w.v[1].tag)
		require.Empty(t, told, "nothing is new")

		w.pictures[link] = b
		time.Sleep(fresh)
		w.shows(otto, link, a.Hash, true)
		_, told = w.take()
		require.Equal(t, []string{otto + " " + link}, told)
		w.shows(otto, link, b.Hash, true)

		delete(w.pictures, link)
		time.Sleep(fresh)
		w.shows(otto, link, b.Hash, true)
		_, told = w.take()
		require.Len(t, told, 1)
		w.shows(otto, link, "", true)
		require.Nil(t, w.icons.Picture(otto, link))
	})
}

// A failure says nothing about the picture; it is tried again later and later, and only
// when it is shown.
func TestIconFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, nil)
		a := pictureOf(t, 1)
		w.pictures[link], w.err = a, errors.New("no route")
		for _, wait := range []time.Duration{retry, 2 * retry, 4 * retry, 8 * retry} {
			w.shows(otto, link, "", false)
			asked, told := w.take()
			require.Len(t, asked, 1)
			require.Empty(t, told)
			time.Sleep(wait - time.Second)
			w.shows(otto, link, "", false)
			asked, _ = w.take()
			require.Empty(t, asked)
			time.Sleep(time.Second)
		}
		time.Sleep(24 * time.Hour)
		asked, _ := w.take()
		require.Empty(t, asked, "nobody looked")
		w.err = nil
		w.shows(otto, link, "", false)
		_, told := w.take()
		require.Len(t, told, 1)
		w.err = errors.New("no route")
		time.Sleep(fresh)
		w.shows(otto, link, a.Hash, true)
		_, told = w.take()
		require.Empty(t, told, "what was known stands")
		w.shows(otto, link, a.Hash, true)

		w.err = fmt.Errorf("%w: svg", errType)
		time.Sleep(retry)
		w.shows(otto, link, a.Hash, true)
		_, told = w.take()
		require.Len(t, told, 1)
		w.shows(otto, link, "", true)
	})
}

// Somebody who shows another picture every moment causes one fetch a minute, of the last.
func TestFloodOfOneContact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, nil)
		for n := range 1000 {
			w.icons.Show(otto, fmt.Sprintf("https://h%d.example/%d", n, n))
		}
		asked, _ := w.take()
		require.Len(t, asked, contactBurst)
		w.shows(nora, link, "", false)
		asked, _ = w.take()
		require.Equal(t, []string{link}, asked, "others do not suffer")
		time.Sleep(contactEvery)
		asked, _ = w.take()
		require.Equal(t, []string{"https://h999.example/999"}, asked)
		time.Sleep(time.Hour)
		asked, _ = w.take()
		require.Empty(t, asked)
		w.icons.mu.Lock()
		require.Less(t, len(w.icons.icons), 20, "what was never fetched is not kept")
		w.icons.mu.Unlock()
	})
}

// Somebody else's turn does not wait for a contact that has used his up.
func TestTurnOfTheFastest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, nil)
		for n := range contactBurst {
			w.icons.Show(otto, fmt.Sprintf("https://h%d.example/", n))
		}
		w.take()
		w.shows(otto, link, "", false)
		asked, _ := w.take()
		require.Empty(t, asked)
		w.shows(nora, link, "", false)
		asked, _ = w.take()
		require.Equal(t, []string{link}, asked)
		time.Sleep(time.Hour)
		asked, _ = w.take()
		require.Empty(t, asked)
	})
}

// Many contacts with pictures at one host ask it slowly, and a few at a time.
func TestFloodOfOneHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, nil)
		w.takes = 3 * time.Second
		for n := range 10_000 {
			w.icons.Show(fmt.Sprintf("sip:%d@quay.example", n), fmt.Sprintf("https://quay.example/%d", n))
		}
		for n := range 100 {
			w.icons.Show(fmt.Sprintf("sip:x%d@quay.example", n), fmt.Sprintf("https://h%d.example/%d", n, n))
		}
		time.Sleep(time.Minute)
		asked, _ := w.take()
		w.mu.Lock()
		require.Equal(t, hostSlots, w.most)
		require.LessOrEqual(t, w.mostAll, slots)
		w.mu.Unlock()
		require.Greater(t, len(asked), 100)
		time.Sleep(longestWait + time.Hour)
		asked, _ = w.take()
		require.Less(t, len(asked), 10_000, "what would wait longest is left for when it is shown again")
	})
}

// Pictures take a bounded number of bytes; one that had to go is fetched again when
// somebody asks for it.
func TestIconsBoundTheirMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size := len(pictureOf(t, 0).Data)
		w := newWeb(t, func(c *IconsConfig) { c.CacheBytes = 3*size + size/2 })
		var uris []string
		for n := range 5 {
			uri := fmt.Sprintf("https://h%d.example/", n)
			uris = append(uris, uri)
			w.pictures[uri] = pictureOf(t, uint8(n+1))
			w.shows(otto, uri, "", false)
			w.take()
		}
		w.icons.mu.Lock()
		require.LessOrEqual(t, w.icons.bytes, 3*size+size/2)
		w.icons.mu.Unlock()
		w.shows(nora, uris[0], w.pictures[uris[0]].Hash, true) // the hash stays known
		require.Nil(t, w.icons.Picture(nora, uris[0]))
		asked, told := w.take()
		require.Equal(t, uris[:1], asked)
		require.Empty(t, w.v[len(w.v)-1].tag)
		require.Contains(t, told, nora+" "+uris[0])
		require.NotNil(t, w.icons.Picture(nora, uris[0]))
	})
}

func TestIconsBoundTheirNumber(t *testing.T) {
	x := NewIcons(IconsConfig{Changed: func(string, string) {}})
	defer x.Close()
	for n := range maxIcons + 100 {
		hash, known := x.Show(otto, fmt.Sprintf("ftp://quay.example/%d", n))
		require.True(t, known && hash == "")
	}
	require.Len(t, x.icons, maxIcons)
	require.Equal(t, maxIcons, x.order.Len())
}

func TestIconInItsURI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, nil)
		p := pictureOf(t, 5)
		uri := "data:image/png;base64," + b64(p.Data)
		w.shows(otto, uri, p.Hash, true)
		require.Equal(t, p.Data, w.icons.Picture(otto, uri).Data)
		w.shows(otto, "data:text/html,hello", "", true)
		w.shows(otto, "http://127.0.0.1/x.png", "", true)
		time.Sleep(24 * time.Hour)
		w.shows(otto, "http://127.0.0.1/x.png", "", true)
		asked, _ := w.take()
		require.Empty(t, asked)
	})
}

// The end does not wait for a server.
func TestCloseWhileFetching(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeb(t, nil)
		w.takes = time.Hour
		for n := range 50 {
			w.icons.Show(otto, fmt.Sprintf("https://h%d.example/", n))
		}
		synctest.Wait()
		begin := time.Now()
		w.icons.Close()
		require.Zero(t, time.Since(begin))
		_, told := w.take()
		require.Empty(t, told)
		w.shows(otto, link, "", false)
	})
}
