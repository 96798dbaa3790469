package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/console"
	"github.com/stoxgate/stoxgate/interwork"
	"github.com/stoxgate/stoxgate/interwork/avatar"
)

// avatars is the console's view of the pictures of XMPP users.
type avatars struct{ gateway *interwork.Gateway }

var _ console.Avatars = avatars{}

// Avatar implements console.Avatars.
func (a avatars) Avatar(ctx context.Context, hash string) (console.Avatar, error) {
	p, err := a.gateway.Avatar(ctx, hash)
	switch {
	case err == nil:
		return console.Avatar{Data: p.Data, Type: p.Type}, nil
	case errors.Is(err, avatar.ErrUnknown):
		return console.Avatar{}, fmt.Errorf("%w: %w", console.ErrNotFound, err)
	}
	return console.Avatar{}, fmt.Errorf("%w: %w", console.ErrBusy, err)
}
