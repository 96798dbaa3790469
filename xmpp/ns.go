package xmpp

// Streams and stanzas (RFC 6120, RFC 7395, XEP-0114, XEP-0225).
const (
	NSXML             = "http://www.w3.org/XML/1998/namespace" // the prefix xml, as in xml:lang
	NSXMLNS           = "http://www.w3.org/2000/xmlns/"
	NSStream          = "http://etherx.jabber.org/streams"
	NSStreamErrors    = "urn:ietf:params:xml:ns:xmpp-streams"
	NSStanzas         = "urn:ietf:params:xml:ns:xmpp-stanzas" // conditions of stanza errors
	NSClient          = "jabber:client"
	NSServer          = "jabber:server"
	NSComponentAccept = "jabber:component:accept"
	NSTLS             = "urn:ietf:params:xml:ns:xmpp-tls"
	NSSASL            = "urn:ietf:params:xml:ns:xmpp-sasl"
	NSBind            = "urn:ietf:params:xml:ns:xmpp-bind"
)

// Core services: roster, discovery, registration, ping, time, privileges.
const (
	NSRoster      = "jabber:iq:roster"                      // RFC 6121
	NSRosterX     = "http://jabber.org/protocol/rosterx"    // XEP-0144
	NSDiscoInfo   = "http://jabber.org/protocol/disco#info" // XEP-0030
	NSDiscoItems  = "http://jabber.org/protocol/disco#items"
	NSCaps        = "http://jabber.org/protocol/caps"     // XEP-0115
	NSDataForms   = "jabber:x:data"                       // XEP-0004
	NSCommands    = "http://jabber.org/protocol/commands" // XEP-0050
	NSRegister    = "jabber:iq:register"                  // XEP-0077
	NSGateway     = "jabber:iq:gateway"                   // XEP-0100
	NSVersion     = "jabber:iq:version"                   // XEP-0092
	NSLast        = "jabber:iq:last"                      // XEP-0012
	NSPing        = "urn:xmpp:ping"                       // XEP-0199
	NSTime        = "urn:xmpp:time"                       // XEP-0202
	NSPubSub      = "http://jabber.org/protocol/pubsub"   // XEP-0060
	NSPubSubEvent = "http://jabber.org/protocol/pubsub#event"
	NSPrivilege   = "urn:xmpp:privilege:2" // XEP-0356
	NSPrivilege1  = "urn:xmpp:privilege:1" // XEP-0356 0.3, as ejabberd has it

	// FeatureJIDEscaping is a service discovery feature, not a namespace (XEP-0106).
	FeatureJIDEscaping = `jid\20escaping`
)

// Messages and what rides on them.
const (
	NSChatStates    = "http://jabber.org/protocol/chatstates" // XEP-0085
	NSReceipts      = "urn:xmpp:receipts"                     // XEP-0184
	NSMarkers       = "urn:xmpp:chat-markers:0"               // XEP-0333
	NSHints         = "urn:xmpp:hints"                        // XEP-0334
	NSDelay         = "urn:xmpp:delay"                        // XEP-0203
	NSCarbons       = "urn:xmpp:carbons:2"                    // XEP-0280
	NSForward       = "urn:xmpp:forward:0"                    // XEP-0297
	NSMAM           = "urn:xmpp:mam:2"                        // XEP-0313
	NSOOB           = "jabber:x:oob"                          // XEP-0066
	NSXHTMLIM       = "http://jabber.org/protocol/xhtml-im"   // XEP-0071
	NSXHTML         = "http://www.w3.org/1999/xhtml"
	NSCorrect       = "urn:xmpp:message-correct:0" // XEP-0308
	NSReactions     = "urn:xmpp:reactions:0"       // XEP-0444
	NSReply         = "urn:xmpp:reply:0"           // XEP-0461
	NSRetract       = "urn:xmpp:message-retract:1" // XEP-0424
	NSRetract0      = "urn:xmpp:message-retract:0"
	NSFallback      = "urn:xmpp:fallback:0"             // XEP-0428
	NSFasten        = "urn:xmpp:fasten:0"               // XEP-0422
	NSEphemeral     = "urn:xmpp:ephemeral:0"            // XEP-0466
	NSEME           = "urn:xmpp:eme:0"                  // XEP-0380
	NSOMEMO         = "urn:xmpp:omemo:2"                // XEP-0384
	NSOMEMOLegacy   = "eu.siacs.conversations.axolotl"  // XEP-0384 v0.3
	NSOpenPGP       = "urn:xmpp:openpgp:0"              // XEP-0373
	NSOpenPGPLegacy = "jabber:x:encrypted"              // XEP-0027
	NSOTR           = "urn:xmpp:otr:0"                  // XEP-0364
	NSSHIM          = "http://jabber.org/protocol/shim" // XEP-0131
	NSConference    = "jabber:x:conference"             // XEP-0249
	NSNick          = "http://jabber.org/protocol/nick" // XEP-0172
)

// Files.
const (
	NSFileMetadata = "urn:xmpp:file:metadata:0"            // XEP-0446
	NSFileSharing  = "urn:xmpp:sfs:0"                      // XEP-0447
	NSURLData      = "http://jabber.org/protocol/url-data" // XEP-0103
	NSThumbs       = "urn:xmpp:thumbs:1"                   // XEP-0264
	NSReference    = "urn:xmpp:reference:0"                // XEP-0372
	NSSIMS         = "urn:xmpp:sims:1"                     // XEP-0385
	NSHashes       = "urn:xmpp:hashes:2"                   // XEP-0300
)

// Presence, profile, group chat.
const (
	NSMood           = "http://jabber.org/protocol/mood"     // XEP-0107
	NSActivity       = "http://jabber.org/protocol/activity" // XEP-0108
	NSIdle           = "urn:xmpp:idle:1"                     // XEP-0319
	NSVCard          = "vcard-temp"                          // XEP-0054
	NSVCardUpdate    = "vcard-temp:x:update"                 // XEP-0153
	NSAvatarData     = "urn:xmpp:avatar:data"                // XEP-0084
	NSAvatarMetadata = "urn:xmpp:avatar:metadata"
	NSSigned         = "jabber:x:signed"                // XEP-0027
	NSMUC            = "http://jabber.org/protocol/muc" // XEP-0045
)

// Jingle (XEP-0166) and its applications, transports and descriptions.
const (
	NSJingle           = "urn:xmpp:jingle:1"
	NSJingleErrors     = "urn:xmpp:jingle:errors:1"
	NSJingleMessage    = "urn:xmpp:jingle-message:0"  // XEP-0353
	NSJingleRTP        = "urn:xmpp:jingle:apps:rtp:1" // XEP-0167
	NSJingleRTPAudio   = "urn:xmpp:jingle:apps:rtp:audio"
	NSJingleRTPVideo   = "urn:xmpp:jingle:apps:rtp:video"
	NSJingleRTPInfo    = "urn:xmpp:jingle:apps:rtp:info:1"
	NSJingleRTCPFB     = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"    // XEP-0293
	NSJingleRTPHdrExt  = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0" // XEP-0294
	NSJingleSources    = "urn:xmpp:jingle:apps:rtp:ssma:0"       // XEP-0339
	NSJingleDTLS       = "urn:xmpp:jingle:apps:dtls:0"           // XEP-0320
	NSJingleGrouping   = "urn:xmpp:jingle:apps:grouping:0"       // XEP-0338
	NSJingleCategory   = "urn:xmpp:jingle:apps:category:0"       // XEP-0507
	NSJingleFile       = "urn:xmpp:jingle:apps:file-transfer:5"  // XEP-0234
	NSJingleICEUDP     = "urn:xmpp:jingle:transports:ice-udp:1"  // XEP-0176
	NSJingleRawUDP     = "urn:xmpp:jingle:transports:raw-udp:1"  // XEP-0177
	NSJingleDTMF       = "urn:xmpp:jingle:dtmf:0"                // XEP-0181
	NSJingleTransfer   = "urn:xmpp:jingle:transfer:0"            // XEP-0251
	NSExtDisco         = "urn:xmpp:extdisco:2"                   // XEP-0215
	FeatureOfferAnswer = "urn:ietf:rfc:3264"                     // XEP-0176: speaks SDP offer/answer
	FeatureSourceAttrs = "urn:ietf:rfc:5576"                     // XEP-0339
	FeatureSDPGrouping = "urn:ietf:rfc:5888"                     // XEP-0338
)
