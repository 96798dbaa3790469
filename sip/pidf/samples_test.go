package pidf

// What programs in the field send, written by hand after what they are known to do.
const (
	sampleBaresip = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<presence xmlns=\"urn:ietf:params:xml:ns:pidf\"\r\n" +
		"    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\"\r\n    xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\"\r\n" +
		"    entity=\"sip:otto@voice.quay.example\">\r\n  <dm:person id=\"p4159\"><rpid:activities/></dm:person>\r\n" +
		"  <tuple id=\"t4109\">\r\n    <status>\r\n      <basic>open</basic>\r\n    </status>\r\n" +
		"    <contact>sip:otto@voice.quay.example</contact>\r\n  </tuple>\r\n</presence>\r\n"

	// Linphone has an element of its own in the status and a timestamp everywhere.
	sampleLinphone = `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" xmlns:pidfonline="http://www.linphone.org/xsds/pidfonline.xsd" entity="sip:otto@voice.quay.example" xmlns="urn:ietf:params:xml:ns:pidf">
 <tuple id="x8b3k1">
  <status><basic>open</basic><pidfonline:online/></status>
  <contact priority="0.8">sip:otto@voice.quay.example;transport=tls</contact>
  <note xml:lang="en">Back at four</note>
  <timestamp>2026-05-04T18:20:00Z</timestamp>
 </tuple>
 <dm:person id="ur3z0-"><rpid:activities><rpid:away/></rpid:activities><dm:timestamp>2026-05-04T18:20:01Z</dm:timestamp></dm:person>
</presence>`

	// Asterisk's chan_sip: drafts' namespaces, a person with a status, contact before status, Latin-1 declared.
	sampleAsterisk = `<?xml version="1.0" encoding="ISO-8859-1"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" 
xmlns:pp="urn:ietf:params:xml:ns:pidf:person"
xmlns:es="urn:ietf:params:xml:ns:pidf:rpid:status:rpid-status"
xmlns:ep="urn:ietf:params:xml:ns:pidf:rpid:rpid-person"
entity="sip:6002@192.0.2.4">
<pp:person><status>
<ep:activities><ep:busy/></ep:activities>
</status></pp:person>
<note>On the phone</note>
<tuple id="6002">
<contact priority="1">sip:6002@192.0.2.4</contact>
<status><basic>open</basic></status>
</tuple>
<tuple id="digium-presence">
<status>
<digium_presence type="available" subtype=""></digium_presence>
</status>
</tuple>
</presence>
`

	// Its successor writes the activity as text.
	sampleEyebeam = `<?xml version="1.0" encoding="UTF-8"?>
<presence entity="sip:6001@192.0.2.4" xmlns="urn:ietf:params:xml:ns:pidf" xmlns:pp="urn:ietf:params:xml:ns:pidf:person" xmlns:es="urn:ietf:params:xml:ns:pidf:rpid:status:rpid-status" xmlns:ep="urn:ietf:params:xml:ns:pidf:rpid:rpid-person">
 <note>Unavailable</note><tuple id="6001"><status><basic>closed</basic></status><contact priority="1">sip:6001@192.0.2.4</contact></tuple>
 <pp:person><status><ep:activities>ep:away</ep:activities></status></pp:person></presence>`

	sampleFreeSWITCH = `<?xml version='1.0' encoding='ISO-8859-1'?>
<presence xmlns='urn:ietf:params:xml:ns:pidf'
xmlns:dm='urn:ietf:params:xml:ns:pidf:data-model'
xmlns:rpid='urn:ietf:params:xml:ns:pidf:rpid'
xmlns:c='urn:ietf:params:xml:ns:pidf:cipid' entity='sip:1000@voice.quay.example'>
 <tuple id='t6a5ed77e'>
  <status>
   <basic>open</basic>
  </status>
 </tuple>
 <dm:person id='p06360c4a'>
  <rpid:activities>
   <rpid:on-the-phone/>
  </rpid:activities>
  <dm:note>Talk 07700900123</dm:note>
 </dm:person>
</presence>`

	// Cisco: no tuple, no id, activities of its own.
	sampleCisco = `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:e="urn:ietf:params:xml:ns:pidf:status:rpid" xmlns:ce="urn:cisco:params:xml:ns:pidf:rpid" entity="sip:4711@192.0.2.9">
  <dm:person>
    <e:activities>
      <e:on-the-phone/>
      <ce:dnd/>
    </e:activities>
  </dm:person>
</presence>`

	// eXosip, Pidgin: the first draft.
	sampleDraft = `<?xml version="1.0" encoding="UTF-8"?>
<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:es="urn:ietf:params:xml:ns:pidf:status:rpid-status" xmlns:ci="urn:ietf:params:xml:ns:pidf:cipid" entity="sip:otto@voice.quay.example">
<tuple id="sg89ae"><status><basic>open</basic><es:activities>
  <es:activity>in-transit</es:activity>
</es:activities></status><contact priority="0,8">sip:otto@voice.quay.example</contact><note>be right back</note></tuple>
<ci:display-name>Otto</ci:display-name></presence>`

	// Kamailio's XMPP gateway: a tuple without id, a person in the namespace of the document, no declaration.
	sampleKamailio = `<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" entity="sip:otto@voice.quay.example"><tuple><status><basic>open</basic></status></tuple><person id="1"><rpid:activities><rpid:away/>away</rpid:activities><note>away</note></person></presence>`

	// Sipnetic: activities in the status and the person, capabilities.
	sampleSipnetic = `<?xml version="1.0" encoding="UTF-8"?><presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid" xmlns:sc="urn:ietf:params:xml:ns:pidf:caps" entity="sip:bob@192.0.2.7"><tuple id="Td6lzgp"><status><basic>open</basic><rpid:activities><rpid:on-the-phone/></rpid:activities></status><sc:servcaps><sc:audio>true</sc:audio><sc:video>false</sc:video><sc:message>1</sc:message></sc:servcaps><timestamp>2026-03-16T08:06:06Z</timestamp></tuple><dm:person id="PBs"><rpid:activities><rpid:on-the-phone/></rpid:activities></dm:person></presence>`

	// Prefixes that nobody declared, no white space where it hurts, upper case where it matters not.
	sampleUndeclared = `<presence xmlns="urn:ietf:params:xml:ns:pidf" entity="sip:a@b.example"><tuple id="1"><status><basic> OPEN </basic></status></tuple><dm:person><rpid:activities><rpid:busy></rpid:busy></rpid:activities></dm:person></presence>`

	// RFC 4480 §4, abridged.
	sampleRPID = `<presence xmlns="urn:ietf:params:xml:ns:pidf" xmlns:dm="urn:ietf:params:xml:ns:pidf:data-model"
 xmlns:lt="urn:ietf:params:xml:ns:location-type" xmlns:rpid="urn:ietf:params:xml:ns:pidf:rpid"
 xmlns:ts="urn:ietf:params:xml:ns:pidf:timed-status" xmlns:c="urn:ietf:params:xml:ns:pidf:cipid" entity="pres:someone@example.com">
 <tuple id="bs35r9"><status><basic>open</basic></status><dm:deviceID>urn:device:0003ba4811e3</dm:deviceID>
  <rpid:relationship><rpid:note>me</rpid:note><rpid:self/></rpid:relationship><rpid:service-class><rpid:electronic/></rpid:service-class>
  <ts:timed-status from="2026-08-15T10:20:00.5-05:00" until="2026-08-22T19:30:00-05:00"><ts:basic>closed</ts:basic><ts:note xml:lang="en">Tokyo</ts:note></ts:timed-status>
  <ts:timed-status><ts:basic>closed</ts:basic></ts:timed-status>
  <contact priority="0.8">im:someone@mobile.example.net</contact>
  <note xml:lang="en">Don't Disturb Please!</note><note xml:lang="fr">Ne dérangez pas, s'il vous plaît</note>
  <timestamp>2005-10-27T16:49:29Z</timestamp></tuple>
 <tuple id="ty4658"><status><basic>open</basic></status><rpid:relationship><rpid:assistant/></rpid:relationship><contact priority="1.0">mailto:secretary@example.com</contact></tuple>
 <note>I'll be in Tokyo next week</note>
 <dm:device id="pc147"><rpid:user-input idle-threshold="600" last-input="2004-10-21T13:20:00-05:00">idle</rpid:user-input><dm:deviceID>urn:device:0003ba4811e3</dm:deviceID><dm:note>PC</dm:note></dm:device>
 <dm:person id="p1"><rpid:activities from="2005-05-30T12:00:00+05:00" until="2005-05-30T17:00:00+05:00"><rpid:note>Far away</rpid:note><rpid:away/></rpid:activities>
  <rpid:activities><rpid:other>dnd</rpid:other></rpid:activities>
  <rpid:class>calendar</rpid:class><rpid:mood><rpid:angry/><rpid:other>brooding</rpid:other></rpid:mood>
  <rpid:place-is><rpid:audio><rpid:noisy/></rpid:audio></rpid:place-is><rpid:place-type><lt:residence/></rpid:place-type>
  <rpid:sphere>bowling league</rpid:sphere><c:display-name>Someone</c:display-name><c:icon>https://example.com/me.png</c:icon>
  <dm:note>Scoring 120</dm:note><dm:timestamp>2005-05-30T16:09:44+05:00</dm:timestamp></dm:person></presence>`
)

var samples = []string{
	sampleBaresip, sampleLinphone, sampleAsterisk, sampleEyebeam, sampleFreeSWITCH, sampleCisco, sampleDraft, sampleKamailio,
	sampleSipnetic, sampleUndeclared, sampleRPID,
}
