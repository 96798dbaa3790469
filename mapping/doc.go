// Package mapping translates between XMPP stanzas and SIP requests. Every function is pure: no clock, no
// random numbers, no network, no log. Times, numbers and what is known of the peer are arguments, and the same
// arguments give the same bytes, so that a message which is sent again after a crash is the same message.
//
// Both directions of a subject stand in one file:
//
//	subject                     file                         functions                                        specification
//	addresses                   address.go                   JIDToURI, URIToJID                               RFC 7247 §6.4, §6.5; XEP-0106
//	addresses of a component    address.go                   URIToComponent, ComponentToURI                   XEP-0106; RFC 3323
//	devices                     resource.go                  DeviceResource                                   RFC 7247 §6.3; RFC 5627; RFC 5626
//	telephone numbers           number.go                    ParseNumber, NumberFromURI, Number               RFC 3966; RFC 3261 §19.1.6
//	numbers in DNS              enum.go                      ENUMName, ENUMTargets                            RFC 6116; RFC 3402
//	errors                      errors.go, errortables.go    StanzaErrorToStatus, StatusToStanzaError,        RFC 7247 §7
//	                                                         FailureToStanzaError, Conditions, Statuses
//	single messages             message.go, request.go       MessageToRequests, RequestToMessages             RFC 7572 §4, §5; RFC 3428
//	encodings, charsets         decode.go                    (RequestToMessages)                              RFC 3261 §20.12; RFC 2045
//	conversations               thread.go                    ThreadToCallID, CallIDToThread                   RFC 7572 §4, §5; RFC 3261 §8.1.1.4
//	message ids                 ident.go                     (both)                                           RFC 5438 §6.3; XEP-0359
//	languages                   language.go                  (both)                                           RFC 7572 §4, §5; RFC 3066
//	marked-up text              html.go                      HTMLToXHTML, XHTMLToHTML                         XEP-0071
//	envelopes                   cpim.go                      (both)                                           RFC 3862
//	typing                      chatstate.go                 ChatStateToComposing, ComposingToChatState       XEP-0085; RFC 3994
//	receipts                    receipt.go                   ReceiptToIMDN, ErrorToIMDN, ReportToRequest,     XEP-0184; XEP-0333; RFC 5438
//	                                                         RequestDisposition
//	files                       file.go                      (both)                                           XEP-0066, 0264, 0385, 0446, 0447; RCC.07
//	what SIP has no word for    fallback.go                  (MessageToRequests)                              XEP-0308, 0380, 0424, 0428, 0444, 0461
//	loops                       hops.go                      (both)                                           XEP-0131; RFC 7247 §8
//	short text                  split.go                     SplitText                                        UAX 29
//	presence of a user          presence.go, presencepidf.go, PresenceToPIDF, PIDFToPresences,                RFC 8048 §6; RFC 3863; RFC 4479
//	                            presencetuple.go             ResourceOf, ResourcesToPresences
//	resources and tuple ids     presenceid.go                ResourceToTupleID, TupleIDToResource             RFC 8048 §6; RFC 3863
//	show and activities         presenceshow.go              ShowToActivity, Activities                       RFC 8048 §6; RFC 4480
//	moods                       presencemood.go              MoodToRPID, RPIDToMood and those of activities   RFC 4480; XEP-0107, XEP-0108
//	pictures                    presencepidf.go              PhotoElement, PresenceContext.IconBase        XEP-0153; RFC 4482
//	ends of subscriptions       presencesub.go               SubscribeStatusToVerdict, PresenceErrorToState   RFC 8048 §5; RFC 6665 §4.1.3
//	watchers                    winfo.go                     WatchersToInfo                                   RFC 3858
//	calls: whole sessions       callsdp.go                   ContentsToSDP, SDPToContents                     RFC 3264; XEP-0166 §7.3; XEP-0338
//	calls: descriptions         callmedia.go                 (both)                                           XEP-0167, 0293, 0294, 0339, 0507; RFC 8866
//	calls: transports           calltransport.go             TransportToMedia, MediaToTransport               XEP-0176, 0177, 0320; RFC 8839; RFC 8122
//	calls: who sends            calldirection.go             SendersToDirection, HoldDirection                XEP-0166 §7.3; RFC 3264 §5.1, §8.4
//	calls: codecs               callcodec.go                 OwnCodecs, SharedCodecs, OfferCodecs,            RFC 3264 §6.1, §8.3.2; RFC 3551; RFC 4733
//	                                                         ChooseCodec, WithEvents, HeardCodecs,
//	                                                         NumberCodecs, IsEvents
//	calls: why they end         callreasons.go,              ReasonToStatus, ReasonToReasons, StatusToReason, XEP-0166 §7.4; RFC 3326; RFC 3261 §21
//	                            callreasontables.go          ReasonsToReason, CancelToReason, RejectToStatus,
//	                                                         InitiateErrorToStatus, ProposeErrorToStatus,
//	                                                         CallReasons, CallStatuses,
//	                                                         CallCauses
//	calls: names                callid.go, callheaders.go    SIDToCallID, CallIDToSID, InitiateToHeaders,     XEP-0166 §7.1; XEP-0353 §3.1; RFC 3261 §8.1.1
//	                                                         InviteToInitiate, DeviceOf
//
// Decisions that bind the package:
//
//   - Nothing is lost in silence. What cannot be carried is named in the loss that is returned, and a message of
//     which nothing would arrive is an error for its sender.
//   - The identity of a sender is an argument. Nothing inside a message, such as the From of a CPIM envelope, is
//     believed against it.
//   - Text that becomes a header goes through one line cleaner, text that becomes XML through one text cleaner,
//     and markup through one list of what is allowed; there is no second way.
//   - The golden pairs in testdata/mapping are the reference: one file per row of the tables of RFC 7572 and of
//     the rules around them; those of testdata/mapping/call are one for each row between Jingle and SDP, and of the
//     tables of reasons, which callreasons.md prints.
//   - What clients and phones are known to fail on is left out with its name in the loss, rather than sent because
//     a specification allows it; each such place says COMPAT.
package mapping
