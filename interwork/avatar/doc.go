// Package avatar carries the pictures of people across the gateway, in both directions:
// [Icons] are those that presence documents of SIP users name by a URI (RFC 4482), which
// Jabber users are shown as XEP-0153 and XEP-0084 have it; a [Gallery] holds those of
// Jabber users, which SIP watchers fetch by HTTP.
//
// Decisions that bind the package:
//
//   - A URI in a document is the word of a stranger. Only what somebody is shown is
//     fetched, by https, from addresses that everybody on the internet can reach, checked
//     when the connection is made and after every redirect; the operator may name hosts of
//     his own, which may be anywhere. Size, time, redirects, header, how many at a time
//     and how often for one contact and one host are bounded. See fetcher.
//   - A picture is what its first bytes say: PNG, JPEG, GIF or WebP of sane dimensions.
//     Nothing else crosses, least of all SVG, which is a program. Pictures are never
//     decoded, only their headers are.
//   - What is not known yet is said to be not known (an empty update element), so that no
//     client drops what it has; what is gone is said to be gone (an empty photo element).
//   - Nothing polls. A picture is asked for again when it is shown again and an hour is
//     over.
//   - The address of a Jabber user's picture is its hash, and the hash is the permission:
//     it is only served while some SIP watcher holds a document with it, and is gone when
//     the last of them may not see her any more. It is asked for in the name of such a
//     watcher, so her server decides as it would for a contact.
//   - Both keep a bounded number of bytes in memory and nothing on the disk.
package avatar
