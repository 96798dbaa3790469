// Package event is SIP event notification: a notifier and a subscriber (RFC 6665,
// with what RFC 3856, 3857 and 4662 ask of them), and event state publication in both
// roles (RFC 3903).
package event
