package call

import (
	"errors"
	"time"

	"github.com/stoxgate/stoxgate/interwork/relay"
	"github.com/stoxgate/stoxgate/jingle"
	"github.com/stoxgate/stoxgate/mapping"
	"github.com/stoxgate/stoxgate/sip"
)

// reasonBusy: the gateway has no port left, or is going down. It passes, so SIP is told
// to come back.
var reasonBusy = jingle.Reason{Condition: jingle.ReasonGeneralError, Text: "The gateway is busy"}

// busyFor is when to come back.
const busyFor = 5 * time.Second

// mediaReason is why media failed, as both sides are told.
func mediaReason(err error) jingle.Reason {
	r := jingle.Reason{Condition: jingle.ReasonConnectivityError, Text: "No path for the sound"}
	switch {
	case errors.Is(err, relay.ErrFingerprint):
		r = jingle.Reason{Condition: jingle.ReasonSecurityError, Text: "The certificate does not match the fingerprint"}
	case errors.Is(err, relay.ErrHandshake):
		r = jingle.Reason{Condition: jingle.ReasonSecurityError, Text: "The DTLS handshake failed"}
	case errors.Is(err, relay.ErrCodec), errors.Is(err, errNoCodec):
		r = jingle.Reason{Condition: jingle.ReasonFailedApplication, Text: "No codec in common"}
	case errors.Is(err, mapping.ErrNoMedia):
		r = jingle.Reason{Condition: jingle.ReasonUnsupportedApplications, Text: "No media that both sides know"}
	case errors.Is(err, errNoAudio):
		r = jingle.Reason{Condition: jingle.ReasonIncompatibleParameters, Text: "No sound in the description"}
	case errors.Is(err, relay.ErrDescription):
		r = jingle.Reason{Condition: jingle.ReasonIncompatibleParameters, Text: "The description cannot be used"}
	case errors.Is(err, relay.ErrNoPorts), errors.Is(err, relay.ErrClosed):
		r = reasonBusy
	}
	return r
}

// Answers to re-INVITEs that are not looked at.
var (
	statusPending       = sip.Status{Code: 491}
	statusNotAcceptable = sip.Status{Code: 488}
	statusGone          = sip.Status{Code: 481}
	statusLater         = sip.Status{Code: 504}
)
