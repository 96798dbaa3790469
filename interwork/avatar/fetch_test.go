package avatar

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// zone is a Resolver with a fixed content.
type zone map[string][]string

func (z zone) LookupNetIP(_ context.Context, _, host string) (list []netip.Addr, err error) {
	for _, a := range z[host] {
		list = append(list, netip.MustParseAddr(a))
	}
	if list == nil {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return list, err
}

const maxTest = 32 << 10

// site is a web server on loopback, and a fetcher that may use it.
func site(t *testing.T, h http.HandlerFunc) (*fetcher, string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return newFetcher([]string{strings.TrimPrefix(s.URL, "http://")}, maxTest, zone{}), s.URL
}

func TestFetch(t *testing.T) {
	picture := pngOf(t, 64, 64, 7)
	var seen []*http.Request
	f, url := site(t, func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		w.Header().Set("Set-Cookie", "who=1")
		switch r.URL.Path {
		case "/far":
			http.Redirect(w, r, "/near?secret=1", http.StatusFound)
		case "/near":
			http.Redirect(w, r, "/", http.StatusMovedPermanently)
		case "/":
			w.Header().Set("Content-Type", "text/html") // which is not believed
			w.Header().Set("ETag", `"1"`)
			if r.Header.Get("If-None-Match") == `"1"` {
				w.WriteHeader(http.StatusNotModified)
				return
			}
			_, _ = w.Write(picture)
		}
	})
	got, err := f.fetch(t.Context(), url+"/far?token=1#x", validators{})
	require.NoError(t, err)
	require.Equal(t, picture, got.picture.Data)
	require.Len(t, seen, 3)
	for _, r := range seen {
		require.Empty(t, r.Header["Cookie"])
		require.Empty(t, r.Header["Referer"])
		require.Empty(t, r.Header["Authorization"])
		require.Empty(t, r.Header["Accept-Encoding"])
	}
	again, err := f.fetch(t.Context(), url, got.validators)
	require.NoError(t, err)
	require.Nil(t, again.picture)
	require.Equal(t, got.validators, again.validators)
}

// What servers may answer, and where they may send us.
func TestFetchHostile(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("was reached") }))
	defer other.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("was reached") }))
	defer secure.Close()
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for _, tt := range []struct {
		name string
		h    http.HandlerFunc
		want error
	}{
		{"not found", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, errGone},
		{"gone", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, errGone},
		{"failed", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, errStatus},
		{"unasked not modified", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, errStatus},
		{"no content", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, errStatus},
		{"empty", func(http.ResponseWriter, *http.Request) {}, errType},
		{"html", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/png")
			_, _ = io.WriteString(w, "<html>")
		}, errType},
		{"huge dimensions", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(hugePNG(t, 50000, 50000)) }, errDimensions},
		{"length too large", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000")
			w.WriteHeader(200)
		}, errTooLarge},
		{"endless", func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(pngOf(t, 8, 8, 1))
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 4096)); err != nil {
					return
				}
			}
		}, errTooLarge},
		{"in circles", func(w http.ResponseWriter, r *http.Request) { redirect(r.URL.Path)(w, r) }, errRedirects},
		{"to loopback by http", redirect(other.URL), errURI},
		{"to loopback by https", redirect(secure.URL), errAddress},
		{"to loopback in another notation", redirect("https://[::ffff:127.0.0.1]:" + strings.Split(secure.URL, ":")[2]), errAddress},
		{"to the cloud's own address", redirect("https://169.254.169.254/latest/meta-data"), errAddress},
		{"to a file", redirect("file:///etc/passwd"), errURI},
		{"to another port", redirect("https://quay.example:25/"), errURI},
		{"with credentials", redirect("https://user:password@quay.example/"), errURI},
		{"to an inner name", redirect("https://inner.example/"), errAddress},
		{"to nowhere", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, errStatus},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, url := site(t, tt.h)
			f.resolver = zone{"inner.example": {"10.0.0.1", "::1", "fd00::1", "64:ff9b::127.0.0.1", "192.168.0.1"}}
			got, err := f.fetch(t.Context(), url+"/icon?token=secret", validators{})
			require.ErrorIs(t, err, tt.want)
			require.Nil(t, got.picture)
			require.NotContains(t, err.Error(), "secret")
			require.Equal(t, tt.want != errGone && tt.want != errStatus, final(err))
		})
	}
	header := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("x", headerBytes))
		_, _ = w.Write(pngOf(t, 8, 8, 1))
	}
	f, url := site(t, header)
	_, err := f.fetch(t.Context(), url, validators{})
	require.Error(t, err, "a header without end")
}

// strictly lets a fetcher reach one server behind every address that it takes for public,
// and tells which those were.
func strictly(f *fetcher, s *httptest.Server) *[]string {
	var dialled []string
	f.strict = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	f.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
	return &dialled
}

// Of the addresses of a name only public ones are dialled, by https.
func TestPublicHosts(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(pngOf(t, 8, 8, 1)) }))
	defer s.Close()
	f := newFetcher(nil, maxTest, zone{
		"example.com": {"10.0.0.1", "127.0.0.1", "1.1.1.1"}, "mapped.example.com": {"::ffff:10.0.0.1"}, "ours.example.com": {"2.2.2.2"},
	})
	f.own = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("2.2.2.2")} }
	dialled := strictly(f, s)
	got, err := f.fetch(t.Context(), "https://EXAMPLE.com./me.png", validators{})
	require.NoError(t, err)
	require.NotNil(t, got.picture)
	require.Equal(t, []string{"1.1.1.1:443"}, *dialled)
	for _, uri := range []string{"https://mapped.example.com/", "https://ours.example.com/", "https://127.0.0.1/", "https://2130706433/", "https://[::1]/", "https://localhost/"} {
		_, err := f.fetch(t.Context(), uri, validators{})
		require.Error(t, err, uri)
	}
	require.Len(t, *dialled, 1, "nothing else was dialled")
}

// The address is looked at when the connection is made, so that a name cannot change it in
// between.
func TestControl(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	f := newFetcher(nil, maxTest, zone{})
	_, err = f.strict(t.Context(), "tcp", l.Addr().String())
	require.ErrorIs(t, err, errAddress)
	require.NoError(t, f.control("tcp", "1.1.1.1:443", nil))
	require.Error(t, f.control("tcp", "[64:ff9b::a00:1]:443", nil))
	require.Error(t, f.control("tcp", "nonsense", nil))
}

func TestCheck(t *testing.T) {
	f := newFetcher([]string{"pbx.example.org", "10.0.0.5:8080", "Upper.example", "bücher.example", "[2001:DB8::1]:80"}, maxTest, zone{})
	for _, uri := range []string{
		"https://quay.example/a.png?x=1", "https://quay.example:8443/", "https://bücher.example/", "https://1.1.1.1/", "https://[2606:4700::1]:443/",
		"http://pbx.example.org/", "http://pbx.example.org:81/", "https://PBX.example.org:22/", "http://10.0.0.5:8080/x", "http://upper.example/", "http://Bücher.example/", "http://xn--bcher-kva.example/", "http://[2001:db8:0::1]/", "https://10.0.0.5/", // refused when dialled
	} {
		_, err := f.check(uri)
		require.NoError(t, err, uri)
	}
	for _, uri := range []string{
		"", "me.png", "/etc/passwd", "http://quay.example/", "http://10.0.0.5/", "http://10.0.0.5:8081/", "https://quay.example:22/", "https://quay.example:0/", "https://quay.example:99999/",
		"https:///x", "https://:443/", "https://u@quay.example/", "https://u:p@pbx.example.org/", "ftp://quay.example/", "file:///x", "cid:me@quay.example", "javascript:alert(1)", "https://qu ay.example/",
		"https://quay.example/" + strings.Repeat("x", 1024), "//quay.example/", "https:quay.example",
	} {
		_, err := f.check(uri)
		require.ErrorIs(t, err, errURI, uri)
	}
	require.Equal(t, "https://quay.example/a", shown("https://quay.example/a?token=1#x"))
	require.Equal(t, "https://quay.example/a", shown("https://u:p@quay.example/a"))
	require.Equal(t, "data:", shown("data:image/png;base64,AAAA"))
	require.Equal(t, "?", shown("nonsense"))
}

// A server that dribbles has ten seconds in all, and one that says nothing has five.
func TestSlowServers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first string
		most  time.Duration
	}{
		{"silent", "", headerTime},
		{"header without end", "HTTP/1.1 200 OK\r\n", headerTime},
		{"body without end", "HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n\x89PNG\r\n\x1a\n", fetchTime},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFetcher([]string{"slow.example"}, maxTest, zone{})
				served := make(chan struct{})
				f.open = func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						defer close(served)
						defer theirs.Close()
						if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
							return
						}
						if _, err := io.WriteString(theirs, tt.first); err != nil || tt.first == "" {
							_, _ = io.Copy(io.Discard, theirs) // until the client has enough
							return
						}
						for {
							time.Sleep(500 * time.Millisecond)
							if _, err := theirs.Write([]byte("x")); err != nil {
								return
							}
						}
					}()
					return ours, nil
				}
				begin := time.Now()
				_, err := f.fetch(t.Context(), "http://slow.example/", validators{})
				require.Error(t, err)
				require.False(t, final(err))
				require.LessOrEqual(t, time.Since(begin), tt.most)
				<-served
			})
		})
	}
}

func TestDataURI(t *testing.T) {
	p, ok := dataURI("data:image/png;base64,"+b64(pngOf(t, 1, 1, 3)), maxTest)
	require.True(t, ok)
	require.Equal(t, 1, p.Width)
	for _, uri := range []string{"data:", "data:image/png,x", "data:image/png;base64,!!!", "data:text/html;base64,PGh0bWw+", "data:image/svg+xml;base64," + b64([]byte("<svg/>"))} {
		p, ok := dataURI(uri, maxTest)
		require.True(t, ok, uri)
		require.Nil(t, p, uri)
	}
	_, ok = dataURI("https://quay.example/", maxTest)
	require.False(t, ok)
}

func TestWithoutURL(t *testing.T) {
	plain := errors.New("x")
	require.Equal(t, plain, withoutURL(plain))
	require.Empty(t, bounded(string(bytes.Repeat([]byte("x"), 200))))
}

// Whatever is let through has an address that is fetched as it stands.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://quay.example/a?b#c", "http://pbx.example.org:81/", "https://u@h/", "https://[::1%25eth0]/", "https://h:0/", "https:\\\\h", "https://\x00/"} {
		f.Add(s)
	}
	x := newFetcher([]string{"pbx.example.org"}, maxTest, zone{})
	f.Fuzz(func(t *testing.T, s string) {
		u, err := x.check(s)
		_ = shown(s)
		if err != nil {
			return
		}
		again, err := x.check(u.String())
		if err != nil || again.String() != u.String() {
			t.Fatalf("%q is %q, and then %v, %v", s, u, again, err)
		}
		if u.User != nil || u.Hostname() == "" || u.Scheme != "https" && (u.Scheme != "http" || u.Hostname() != "pbx.example.org") {
			t.Fatalf("%q is let through", s)
		}
	})
}
