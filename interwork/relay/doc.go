// Package relay carries the media of calls: between a Jingle side, which speaks ICE
// (RFC 8445) and DTLS-SRTP (RFC 5764) or SDES (RFC 4568), and a SIP side, which speaks
// plain RTP (RFC 3550) or either protection. It owns the sockets and the keys; callers
// hand it descriptions and get [Local] descriptions, [Event]s and statistics back. It
// knows no signalling.
//
// A [Session] is one call. Each of its streams (audio is usually stream 0) has two legs,
// one on either [Side]. The order of calls is, per leg, Prepare (sockets, credentials,
// keys: what our description says), Format (which codecs and directions), Connect (what
// the peer's description says); Format and Connect come again with every new
// description, Restart renews ICE. Format may come before or after Connect.
//
// Decisions:
//
//   - RTP ends at the relay: each leg has its own SSRC, which never changes while the call
//     lasts, a gapless sequence across changes of the source, and its own RTCP (RFC 3550
//     §6). Header extensions and contributing sources do not cross, so no negotiation of
//     extensions on one side depends on the other.
//   - Media never passes through a goroutine of a call. On Linux a few readers wait on
//     epoll, read what came in batches and send it on from the same goroutine and in the
//     same buffer; elsewhere each socket has a goroutine. What ICE needs (STUN) and what
//     DTLS needs goes to the pion libraries; RTP never does, whatever the protection.
//   - A leg without ICE sends to where its peer says, and locks on where the peer's packets
//     really come from (RFC 7362): at once if that is the address of the description or if
//     the packet is authenticated, otherwise after consistent packets of one source. Once
//     locked, only authentication, a new description or the same stream continuing from
//     another address after silence moves it, so nobody hijacks a call by sending to its port.
//   - What limits is the system: receiving and sending a packet takes 5 µs of processor in a
//     tight loop on one socket and some 10 µs with 800 sockets, of which the relay itself has
//     one or two; being woken for each takes 6 µs more. So a reader that is busy, from some
//     40 calls on, looks for packets every 0.3 ms instead, and the second reader is given
//     calls when the first has enough. Packets to the shared ICE port are gathered and sent
//     in batches.
//   - A port rests after use (see [Config]): late packets of an ended call reach nobody.
//   - RTCP that means something to the other peer (picture loss, full intra requests and
//     negative acknowledgements, RFC 4585 §6, RFC 5104 §4.3.1) is translated and passed;
//     reports end here.
package relay
