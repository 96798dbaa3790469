package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"

	"github.com/rs/zerolog"
)

// protect puts what every request passes in front of the mux, the outermost
// last.
func (s *Server) protect(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	crossOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem(w, http.StatusForbidden, "the request comes from another site")
	}))
	return s.recovered(headers(s.authorized(crossOrigin.Handler(limited(next)))))
}

// recovered answers 500 when a handler panics, with the stack in the log.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			s.cfg.Log.Error().Str("path", r.URL.Path).Str("panic", fmt.Sprint(v)).Bytes("stack", debug.Stack()).Msg("console handler failed")
			problem(w, http.StatusInternalServerError, "a fault in stoxgate; the log has the particulars")
		}()
		next.ServeHTTP(w, r)
	})
}

const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// headers keep browsers from guessing, framing and remembering.
func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// limited bounds the bodies of requests; the import sets its own bound.
func limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bound := int64(maxBody)
		if r.URL.Path == importPath {
			bound = maxImport
		}
		r.Body = http.MaxBytesReader(w, r.Body, bound)
		next.ServeHTTP(w, r)
	})
}

// authorized lets a request through that shows the token. Where none is set the
// listener is on loopback, and the Host must be as well.
func (s *Server) authorized(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == healthPath, isAvatar(r.URL.Path):
		case s.cfg.Token == "":
			if !loopbackAddress(r.Host) {
				problem(w, http.StatusMisdirectedRequest, "this console answers to localhost only")
				return
			}
		case !s.showsToken(r):
			w.Header().Set("WWW-Authenticate", `Bearer realm="stoxgate", Basic realm="stoxgate", charset="UTF-8"`)
			problem(w, http.StatusUnauthorized, "show the token of http.token as Bearer token, or as password of HTTP Basic")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *Server) showsToken(r *http.Request) bool {
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		shown = strings.TrimSpace(shown)
	case strings.EqualFold(scheme, "Basic"):
		var ok bool
		if _, shown, ok = r.BasicAuth(); !ok {
			return false
		}
	default:
		return false
	}
	sum := sha256.Sum256([]byte(shown))
	return subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1
}

// loopbackAddress reports whether host, with or without a port, means this
// machine.
func loopbackAddress(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}

// quietLog takes the complaints of net/http about clients.
func quietLog(l zerolog.Logger) *log.Logger {
	return log.New(debugWriter{l}, "", 0)
}

type debugWriter struct{ log zerolog.Logger }

func (w debugWriter) Write(p []byte) (int, error) {
	w.log.Debug().Msg(strings.TrimSpace(string(p)))
	return len(p), nil
}
