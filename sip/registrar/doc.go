// Package registrar knows where phones are and keeps trunks alive.
//
// [Registrar] is the registrar and location service of RFC 3261 §10 with Path
// (RFC 3327), outbound flows (RFC 5626) and public GRUUs (RFC 5627). [Client]
// registers us at a trunk, [Prober] pings a trunk that wants no registration.
//
// Decisions of the registrar:
//
//   - A REGISTER always needs digest, even from a trusted peer: what it changes
//     is whose phone rings. The realm is the domain of the AOR.
//   - All contacts of one request are applied or none (§10.3 step 7). One lock
//     per AOR is held over the rules, the writes to the store and the watchers;
//     reading never waits for it.
//   - What is in the store can be used after a restart: bindings whose contact
//     can be reached without the connection that registered it. A binding that
//     lives on a connection (outbound, WebSocket, TLS, a NATed TCP phone) ends
//     with the connection.
//   - A connection is used for requests to the phone as long as it is there, with
//     or without outbound, because nearly every phone on TCP sits behind a NAT or
//     a firewall. A TCP phone with a contact that can be dialled (the address it
//     sends from, another port) keeps its binding when it closes the connection.
//   - A UDP phone is answered where its REGISTER came from when it asks for that
//     by rport (RFC 3581) or when its contact is another address (NAT).
//   - Path without Supported: path is refused (420), as RFC 3327 §5.3 advises:
//     ignoring it would send requests past the proxy that wanted them.
//   - Temporary GRUUs are not issued: nothing here keeps a phone's identity from
//     those it writes to.
//   - A contact inside our own domains is refused: it would come back to us.
//   - No contact is preferred for having outbound. [Registrar.Lookup] returns them
//     by q, then newest first; several flows of one phone have the same Instance
//     and must be tried one after the other, not forked to (RFC 5626 §6).
package registrar
