package console

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

// A picture needs no token and no name of this machine; nothing beside it is let in so.
func TestAvatars(t *testing.T) {
	for name, token := range map[string]string{"with a token": testToken, "without": ""} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, newGateway(), token)
			get := func(method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
				r := httptest.NewRequest(method, path, http.NoBody)
				r.Host = "gw.example.org"
				if change != nil {
					change(r)
				}
				w := httptest.NewRecorder()
				s.Handler().ServeHTTP(w, r)
				return w
			}
			w := get("GET", "/avatars/"+pictureHash, nil)
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, "image/png", w.Header().Get("Content-Type"))
			assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
			assert.Equal(t, "private, max-age=604800, immutable", w.Header().Get("Cache-Control"))
			assert.Equal(t, `"`+pictureHash+`"`, w.Header().Get("ETag"))
			assert.Equal(t, "\x89PNG\r\n\x1a\nrest", w.Body.String())
			w = get("HEAD", "/avatars/"+pictureHash, nil)
			assert.Equal(t, 200, w.Code)
			assert.Equal(t, "12", w.Header().Get("Content-Length"))
			assert.Empty(t, w.Body.String())
			w = get("GET", "/avatars/"+pictureHash, func(r *http.Request) { r.Header.Set("If-None-Match", `"`+pictureHash+`"`) })
			assert.Equal(t, http.StatusNotModified, w.Code)
			w = get("GET", "/avatars/"+busyHash, nil)
			assert.Equal(t, http.StatusServiceUnavailable, w.Code)
			assert.NotEmpty(t, w.Header().Get("Retry-After"))
			w = get("GET", "/avatars/adc83b19e793491b1c6ea0fd8b46cd9f32e592fc", nil)
			assert.Equal(t, 404, w.Code)
			assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
			assert.Equal(t, 405, get("POST", "/avatars/"+pictureHash, nil).Code)

			closed := http.StatusUnauthorized
			if token == "" {
				closed = http.StatusMisdirectedRequest
			}
			for _, path := range []string{
				"/avatars/", "/avatars/x", "/avatars/" + pictureHash + "/", "/avatars/../api/v1/status", "/avatars/%2e%2e/api/v1/status",
				"/avatars/" + pictureHash + "/../../api/v1/status", "/api/v1/status", "/avatars/" + pictureHash[:38] + "%2F",
			} {
				assert.Equal(t, closed, get("GET", path, nil).Code, path)
			}
			assert.Equal(t, 404, get("GET", "/avatars%2F"+pictureHash, nil).Code)
		})
	}
}
