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
	NSComponent2      = "urn:xmpp:component:0" // XEP-0225
	NSDialback        = "jabber:server:dialback"
	NSTLS             = "urn:ietf:params:xml:ns:xmpp-tls"
	NSSASL            = "urn:ietf:params:xml:ns:xmpp-sasl"
	NSBind            = "urn:ietf:params:xml:ns:xmpp-bind"
	NSSession         = "urn:ietf:params:xml:ns:xmpp-session"
	NSStreamManage    = "urn:xmpp:sm:3" // XEP-0198
)

// Core services: roster, discovery, registration, ping, time, privileges.
const (
	NSRoster         = "jabber:iq:roster"                      // RFC 6121
	NSRosterX        = "http://jabber.org/protocol/rosterx"    // XEP-0144
	NSDiscoInfo      = "http://jabber.org/protocol/disco#info" // XEP-0030
	NSDiscoItems     = "http://jabber.org/protocol/disco#items"
	NSCaps           = "http://jabber.org/protocol/caps"     // XEP-0115
	NSDataForms      = "jabber:x:data"                       // XEP-0004
	NSCommands       = "http://jabber.org/protocol/commands" // XEP-0050
	NSRegister       = "jabber:iq:register"                  // XEP-0077
	NSGateway        = "jabber:iq:gateway"                   // XEP-0100
	NSVersion        = "jabber:iq:version"                   // XEP-0092
	NSLast           = "jabber:iq:last"                      // XEP-0012
	NSPing           = "urn:xmpp:ping"                       // XEP-0199
	NSTime           = "urn:xmpp:time"                       // XEP-0202
	NSRSM            = "http://jabber.org/protocol/rsm"      // XEP-0059
	NSPubSub         = "http://jabber.org/protocol/pubsub"   // XEP-0060
	NSPubSubEvent    = "http://jabber.org/protocol/pubsub#event"
	NSPubSubOwner    = "http://jabber.org/protocol/pubsub#owner"
	NSPubSubErrors   = "http://jabber.org/protocol/pubsub#errors"
	NSBlocking       = "urn:xmpp:blocking" // XEP-0191
	NSBlockingErrors = "urn:xmpp:blocking:errors"
	NSPrivilege      = "urn:xmpp:privilege:2" // XEP-0356
	NSPrivilege1     = "urn:xmpp:privilege:1"
	NSDelegation     = "urn:xmpp:delegation:2" // XEP-0355
	NSExtDisco       = "urn:xmpp:extdisco:2"   // XEP-0215

	// FeatureJIDEscaping is a service discovery feature, not a namespace (XEP-0106).
	FeatureJIDEscaping = `jid\20escaping`
)

// Messages and what rides on them.
const (
	NSChatStates     = "http://jabber.org/protocol/chatstates" // XEP-0085
	NSReceipts       = "urn:xmpp:receipts"                     // XEP-0184
	NSMarkers        = "urn:xmpp:chat-markers:0"               // XEP-0333
	NSHints          = "urn:xmpp:hints"                        // XEP-0334
	NSDelay          = "urn:xmpp:delay"                        // XEP-0203
	NSDelayLegacy    = "jabber:x:delay"                        // XEP-0091
	NSStanzaID       = "urn:xmpp:sid:0"                        // XEP-0359
	NSCarbons        = "urn:xmpp:carbons:2"                    // XEP-0280
	NSForward        = "urn:xmpp:forward:0"                    // XEP-0297
	NSMAM            = "urn:xmpp:mam:2"                        // XEP-0313
	NSOOB            = "jabber:x:oob"                          // XEP-0066
	NSIQOOB          = "jabber:iq:oob"
	NSXHTMLIM        = "http://jabber.org/protocol/xhtml-im" // XEP-0071
	NSXHTML          = "http://www.w3.org/1999/xhtml"
	NSCorrect        = "urn:xmpp:message-correct:0" // XEP-0308
	NSReactions      = "urn:xmpp:reactions:0"       // XEP-0444
	NSReply          = "urn:xmpp:reply:0"           // XEP-0461
	NSRetract        = "urn:xmpp:message-retract:1" // XEP-0424
	NSRetract0       = "urn:xmpp:message-retract:0"
	NSModerate       = "urn:xmpp:message-moderate:1"                         // XEP-0425
	NSFallback       = "urn:xmpp:fallback:0"                                 // XEP-0428
	NSFasten         = "urn:xmpp:fasten:0"                                   // XEP-0422
	NSStyling        = "urn:xmpp:styling:0"                                  // XEP-0393
	NSAttention      = "urn:xmpp:attention:0"                                // XEP-0224
	NSEphemeral      = "urn:xmpp:ephemeral:0"                                // XEP-0466
	NSEME            = "urn:xmpp:eme:0"                                      // XEP-0380
	NSOMEMO          = "urn:xmpp:omemo:2"                                    // XEP-0384
	NSOMEMOLegacy    = "eu.siacs.conversations.axolotl"                      // XEP-0384 v0.3
	NSOpenPGP        = "urn:xmpp:openpgp:0"                                  // XEP-0373
	NSOpenPGPLegacy  = "jabber:x:encrypted"                                  // XEP-0027
	NSOTR            = "urn:xmpp:otr:0"                                      // XEP-0364
	NSSHIM           = "http://jabber.org/protocol/shim"                     // XEP-0131
	NSAddress        = "http://jabber.org/protocol/address"                  // XEP-0033
	NSEvent          = "jabber:x:event"                                      // XEP-0022
	NSConference     = "jabber:x:conference"                                 // XEP-0249
	NSNick           = "http://jabber.org/protocol/nick"                     // XEP-0172
	NSBitsOfBinary   = "urn:xmpp:bob"                                        // XEP-0231
	NSIBB            = "http://jabber.org/protocol/ibb"                      // XEP-0047
	NSGeoloc         = "http://jabber.org/protocol/geoloc"                   // XEP-0080
	NSAMP            = "http://jabber.org/protocol/amp"                      // XEP-0079
	NSRealTimeText   = "urn:xmpp:rtt:0"                                      // XEP-0301
	NSSpoiler        = "urn:xmpp:spoiler:0"                                  // XEP-0382
	NSFileTransferSI = "http://jabber.org/protocol/si/profile/file-transfer" // XEP-0096
	NSStreamInit     = "http://jabber.org/protocol/si"                       // XEP-0095
)

// Files.
const (
	NSUpload        = "urn:xmpp:http:upload:0" // XEP-0363
	NSUploadPurpose = "urn:xmpp:http:upload:purpose:0"
	NSFileMetadata  = "urn:xmpp:file:metadata:0"            // XEP-0446
	NSFileSharing   = "urn:xmpp:sfs:0"                      // XEP-0447
	NSFileEncrypted = "urn:xmpp:esfs:0"                     // XEP-0448
	NSURLData       = "http://jabber.org/protocol/url-data" // XEP-0103
	NSThumbs        = "urn:xmpp:thumbs:1"                   // XEP-0264
	NSReference     = "urn:xmpp:reference:0"                // XEP-0372
	NSSIMS          = "urn:xmpp:sims:1"                     // XEP-0385
	NSHashes        = "urn:xmpp:hashes:2"                   // XEP-0300
)

// Presence, profile, group chat.
const (
	NSIdle           = "urn:xmpp:idle:1"                  // XEP-0319
	NSVCard          = "vcard-temp"                       // XEP-0054
	NSVCardUpdate    = "vcard-temp:x:update"              // XEP-0153
	NSVCard4         = "urn:ietf:params:xml:ns:vcard-4.0" // XEP-0292
	NSAvatarData     = "urn:xmpp:avatar:data"             // XEP-0084
	NSAvatarMetadata = "urn:xmpp:avatar:metadata"
	NSSigned         = "jabber:x:signed"                     // XEP-0027
	NSMood           = "http://jabber.org/protocol/mood"     // XEP-0107
	NSActivity       = "http://jabber.org/protocol/activity" // XEP-0108
	NSTune           = "http://jabber.org/protocol/tune"     // XEP-0118
	NSMUC            = "http://jabber.org/protocol/muc"      // XEP-0045
	NSMUCUser        = "http://jabber.org/protocol/muc#user"
	NSMUCAdmin       = "http://jabber.org/protocol/muc#admin"
	NSMUCOwner       = "http://jabber.org/protocol/muc#owner"
	NSMUCRoomInfo    = "http://jabber.org/protocol/muc#roominfo"
	NSOccupantID     = "urn:xmpp:occupant-id:0"                 // XEP-0421
	NSCoin           = "urn:xmpp:coin:1"                        // XEP-0298
	NSConferenceInfo = "urn:ietf:params:xml:ns:conference-info" // RFC 4575, carried by XEP-0298
)

// Jingle (XEP-0166) and its applications, transports and descriptions.
const (
	NSJingle           = "urn:xmpp:jingle:1"
	NSJingle0          = "urn:xmpp:jingle:0"
	NSJingleErrors     = "urn:xmpp:jingle:errors:1"
	NSJingleMessage    = "urn:xmpp:jingle-message:0"  // XEP-0353
	NSJingleTransfer   = "urn:xmpp:jingle:transfer:0" // XEP-0251
	NSJingleRTP        = "urn:xmpp:jingle:apps:rtp:1" // XEP-0167
	NSJingleRTPInfo    = "urn:xmpp:jingle:apps:rtp:info:1"
	NSJingleRTPErrors  = "urn:xmpp:jingle:apps:rtp:errors:1"
	NSJingleRTPAudio   = "urn:xmpp:jingle:apps:rtp:audio"
	NSJingleRTPVideo   = "urn:xmpp:jingle:apps:rtp:video"
	NSJingleRTCPFB     = "urn:xmpp:jingle:apps:rtp:rtcp-fb:0"    // XEP-0293
	NSJingleRTPHdrExt  = "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0" // XEP-0294
	NSJingleSSMA       = "urn:xmpp:jingle:apps:rtp:ssma:0"       // XEP-0339
	NSJingleZRTP       = "urn:xmpp:jingle:apps:rtp:zrtp:1"       // XEP-0262
	NSJingleGrouping   = "urn:xmpp:jingle:apps:grouping:0"       // XEP-0338
	NSJingleDTLS       = "urn:xmpp:jingle:apps:dtls:0"           // XEP-0320
	NSJingleCategory   = "urn:xmpp:jingle:apps:category:0"
	NSJingleFile       = "urn:xmpp:jingle:apps:file-transfer:5"                       // XEP-0234
	NSJingleDTMF       = "urn:xmpp:jingle:dtmf:0"                                     // XEP-0181
	NSJingleICEUDP     = "urn:xmpp:jingle:transports:ice-udp:1"                       // XEP-0176
	NSJingleICE        = "urn:xmpp:jingle:transports:ice:0"                           // XEP-0371
	NSJingleRawUDP     = "urn:xmpp:jingle:transports:raw-udp:1"                       // XEP-0177
	NSJingleDTLSSCTP   = "urn:xmpp:jingle:transports:dtls-sctp:1"                     // XEP-0343
	NSJingleIBB        = "urn:xmpp:jingle:transports:ibb:1"                           // XEP-0261
	NSJingleS5B        = "urn:xmpp:jingle:transports:s5b:1"                           // XEP-0260
	NSCallInvites      = "urn:xmpp:call-invites:0"                                    // XEP-0482
	NSOMEMODTLSSRTP    = "http://gultsch.de/xmpp/drafts/omemo/dlts-srtp-verification" // [sic], Conversations
	FeatureOfferAnswer = "urn:ietf:rfc:3264"                                          // XEP-0176: speaks SDP offer/answer
	FeatureSourceAttrs = "urn:ietf:rfc:5576"                                          // XEP-0339
	FeatureSDPGrouping = "urn:ietf:rfc:5888"                                          // XEP-0338
)
