// Package interworktest drives real software that this project did not write,
// so that others judge it: Prosody and ejabberd as XMPP servers, slixmpp as a
// Jabber client, Chromium with npm's stanza as one with calls, baresip and SIPp
// as phones, Kamailio as a registrar, and the stoxgate binary itself as a child
// process.
//
// A driver starts one program in the foreground with a configuration of its
// own, in a folder that the test owns, on loopback ports that the test
// reserved; it waits until the program can be used and ends it with the test.
// Decisions that bind every driver:
//
//   - Real processes, not containers: Debian's packages are what operators run,
//     and a child process can be stopped, restarted and killed at any moment
//     (Process), which is how the promises about lost messages are tested.
//   - Each child leads a process group of its own. It is only ever ended by
//     that group's id, and on Linux it dies with the test binary, so that a
//     test that panics or is killed leaves nothing behind.
//   - Waiting is always for a condition, with a deadline; nothing sleeps for a
//     fixed time. Everything that a peer saw goes into a Feed, from which a
//     test takes what it expects.
//   - Sound is measured, at both ends: every microphone is a tone of its own
//     (no sound card is needed), and what a peer hears is judged by frequency,
//     level, purity and gaps (Recording, Sound), with code that shares nothing
//     with the gateway's media.
//   - A program that is missing skips the test and names its Debian package.
//     With STOXGATE_REQUIRE_PEERS=1, which `make test` and CI set, it fails
//     instead: a green run can't hide a peer that never ran.
//   - Nothing here imports package testing (TB has the few methods in use), and
//     nothing here parses XMPP or SIP with this project's own code: a mistake
//     in a parser of ours must not hide itself.
//
// Environment: STOXGATE_REQUIRE_PEERS=1 as above; STOXGATE_KEEP=DIR keeps the
// folders of all programs (configuration, logs, captures) below DIR;
// STOXGATE_BINARY=FILE is a ready stoxgate instead of one built here;
// STOXGATE_BROWSER=FILE is the script that .ci/browser makes, from elsewhere than
// .tools/browser of the source tree.
package interworktest
