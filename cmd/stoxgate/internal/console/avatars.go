package console

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

// avatarPath is where SIP users fetch the pictures of XMPP users. It needs no token: the
// hash is the permission, and the gateway serves only those that it told somebody.
const avatarPath = "/avatars/"

// Avatar is a picture.
type Avatar struct {
	Data []byte
	Type string // media type
}

// Avatars are the pictures of XMPP users that SIP users were told of.
type Avatars interface {
	// Avatar finds a picture by its SHA-1 in lower-case hexadecimal: ErrNotFound when there
	// is none that may be served, ErrBusy when it cannot be had now. It may wait.
	Avatar(ctx context.Context, hash string) (Avatar, error)
}

// isAvatar tells whether a path is that of a picture and of nothing else.
func isAvatar(path string) bool {
	hash, ok := strings.CutPrefix(path, avatarPath)
	return ok && isHash(hash)
}

func isHash(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == 40 && s == strings.ToLower(s)
}

func (s *Server) getAvatar(w http.ResponseWriter, r *http.Request) {
	hash := r.PathValue("hash")
	if !isHash(hash) {
		problem(w, http.StatusNotFound, "a picture has the SHA-1 of its bytes for a name, 40 digits of lower-case hexadecimal")
		return
	}
	a, err := s.cfg.Sources.Avatars.Avatar(r.Context(), hash)
	if err != nil {
		s.failed(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.Type)
	h.Set("ETag", `"`+hash+`"`)
	// Its bytes can never change; private, because a permission can.
	h.Set("Cache-Control", "private, max-age=604800, immutable")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.Data))
}
