package sip

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// crlf makes wire text of a Go literal: one line per line, the body behind the
// first empty one.
func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.TrimPrefix(s, "\n"), "\n", "\r\n"))
}

// The cases of RFC 4475, written anew from their descriptions. status is what
// CheckRequest says, 0 for nothing; unparsed means that there is no message.
func TestTortureRequests(t *testing.T) {
	const unparsed = -1
	for _, tt := range []struct {
		name   string
		raw    string
		status int
		check  func(t *testing.T, req *Request)
	}{
		{name: "3.1.1.1 white space, folding, compact forms", raw: `
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : 3
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

v=0`, check: func(t *testing.T, req *Request) {
			from, err := FromOf(req)
			require.NoError(t, err)
			require.Equal(t, `J Rosenberg \"`, from.Display)
			require.Equal(t, "98asjd8", FromTag(req))
			require.Equal(t, "1918181833n", ToTag(req))
			require.Equal(t, 68, MaxForwards(req))
			n, m := CSeq(req)
			require.Equal(t, uint32(9), n)
			require.Equal(t, INVITE, m)
			via := req.Via()
			require.Equal(t, "192.0.2.2", via.Host)
			require.Equal(t, "UDP", via.Transport)
			contacts, _, err := Contacts(req)
			require.NoError(t, err)
			require.Equal(t, `Quoted string ""`, contacts[0].Display)
			require.Equal(t, "0.33", contacts[0].Params.Value("q"))
			routes, err := NameAddrs(req, "Route")
			require.NoError(t, err)
			require.True(t, routes[0].URI.Params.Has("lr"))
		}},
		{name: "3.1.1.2 wide range of characters", raw: `
!interesting-Method0123456789_*+` + "`" + `.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+` + "`" + `'~
To: "BEL:\` + "\x07" + ` NUL:\` + "\x00" + ` DEL:\` + "\x7f" + `" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>
From: token1~` + "`" + ` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="` + "\xD1\x80\xD0\xB0" + `";tag=_token~1'+` + "`" + `*%!-.
Call-ID: intmeth.word%ZK-!.*_+'@word` + "`" + `~)(><:\/"][?}{
CSeq: 139122385 !interesting-Method0123456789_*+` + "`" + `.%indeed'~
Max-Forwards: 255
extensionHeader-!.%*+_` + "`" + `'~:` + "\xEF\xBB\xBF\xE5\xA4\xA7\xE5\x81\x9C\xE9\x9B\xBB" + `
Content-Length: 0

`, status: 400 /* control characters in To, which nothing of ours may pass on, and an upper-cased method */},
		{name: "3.1.1.3 percent-escapes in a user", raw: `
INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0
To: sip:%75se%72@example.com
From: <sip:I%20have%20spaces@example.net>;tag=938
Max-Forwards: 87
i: esc01.239409asdfakjkn23onasd0-3234
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
C: application/sdp
Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: 0

`, check: func(t *testing.T, req *Request) {
			require.Equal(t, "sip:sips%3Auser%40example.com@example.net", RequestURI(req).Key())
			to, _ := ToOf(req)
			require.Equal(t, "sip:user@example.com", to.URI.Key())
			c, _, err := Contacts(req)
			require.NoError(t, err)
			require.True(t, c[0].URI.Params.Has("lr"))
			require.Equal(t, "value%41", c[0].URI.Params.Value("name"))
		}},
		{name: "3.1.1.4 escaped NUL", raw: `
REGISTER sip:example.com SIP/2.0
To: sip:null-%00-null@example.com
From: sip:null-%00-null@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0

`, check: func(t *testing.T, req *Request) {
			c, _, err := Contacts(req)
			require.NoError(t, err)
			require.Len(t, c, 2)
			require.False(t, c[0].URI.Equal(c[1].URI))
		}},
		{name: "3.1.1.5 percent without escape", raw: `
RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:resource@example.com>
From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:alias1@host1.example.com>
C%6Fntact: <sip:alias2@host2.example.com>
l: 0

`, check: func(t *testing.T, req *Request) {
			require.Equal(t, Method("RE%47IST%45R"), req.Method)
			from, _ := FromOf(req)
			require.Equal(t, "%Z%45", from.Display)
			require.Len(t, Values(req, "Contact"), 1)
		}},
		{name: "3.1.1.6 no space before the bracket", raw: `
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: caller<sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.1234abcd@funky.example.com
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw
l: 0

`, check: func(t *testing.T, req *Request) {
			from, _ := FromOf(req)
			require.Equal(t, "caller", from.Display)
		}},
		{name: "3.1.1.9 semicolons in the user", raw: `
OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.0ha0isndaksdj
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0

`, check: func(t *testing.T, req *Request) {
			require.Equal(t, "user;par=u%40example.net", RequestURI(req).User)
			require.Len(t, Tokens(req, "Accept"), 6)
		}},
		{name: "3.1.1.10 varied transports", raw: `
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.kijh4akdnaqjkwendsasfdj
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0

`},
		{name: "3.1.2.1 extraneous separators", raw: `
INVITE sip:user@example.com SIP/2.0
To: sip:j.user@example.com
From: sip:caller@example.net;tag=134161461246
Max-Forwards: 7
Call-ID: badinv01.0ha0isndaksdjasdf3234nas
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;;,;,,
Contact: "Joe" <sip:joe@example.org>;;;;
Content-Length: 0

`}, // RFC: to be refused; the top Via is readable, so it is not worth it
		{name: "3.1.2.2 Content-Length larger than the body", raw: `
INVITE sip:user@example.com SIP/2.0
Max-Forwards: 80
To: sip:j.user@example.com
From: sip:caller@example.net;tag=93942939o2
Contact: <sip:caller@hungry.example.net>
Call-ID: clerr.0ha0isndaksdjweiafasdk3
CSeq: 8 INVITE
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bK-39234-23523
Content-Type: application/sdp
Content-Length: 9999

v=0
`, status: unparsed},
		{name: "3.1.2.3 negative Content-Length", raw: `
INVITE sip:user@example.com SIP/2.0
Max-Forwards: 254
To: sip:j.user@example.com
From: sip:caller@example.net;tag=32394234
Call-ID: ncl.0ha0isndaksdj2193423r542w35
CSeq: 0 INVITE
Via: SIP/2.0/UDP 192.0.2.53;branch=z9hG4bKkdjuw
Content-Length: -999

`, status: unparsed},
		{name: "3.1.2.4 overlarge numbers", raw: `
REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3
To: <sip:user@example.com>
From: <sip:user@example.com>;tag=239232jh3
CSeq: 36893488147419103232 REGISTER
Call-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32
Max-Forwards: 300
Expires: 10000000000000000000000000000000000000000000000000000000000
Contact: <sip:user@host129.example.com>;expires=280297596632815
Content-Length: 0

`, status: 400},
		{name: "3.1.2.6 unterminated quoted string", raw: `
INVITE sip:user@example.com SIP/2.0
To: "Mr. J. User <sip:j.user@example.com>
From: sip:caller@example.net;tag=93334
Max-Forwards: 10
Call-ID: quotbal.aksdj
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234
Content-Length: 0

`, status: 400},
		{name: "3.1.2.7 brackets around the Request-URI", raw: `
INVITE <sip:user@example.com> SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=39291
Max-Forwards: 23
Call-ID: ltgtruri.1@192.0.2.5
CSeq: 1 INVITE
Via: SIP/2.0/UDP 192.0.2.5
Content-Length: 0

`, status: unparsed},
		{name: "3.1.2.8 space in the Request-URI", raw: `
INVITE sip:user@example.com; lr SIP/2.0
To: sip:user@example.com;tag=3xfe-9921883-z9f
From: sip:caller@example.net;tag=231413434
Max-Forwards: 5
Call-ID: lwsruri.asdfasdoeoi2323-asdfwrn23-asd834rk423
CSeq: 2130706432 INVITE
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKkdjuw2395
Content-Length: 0

`, status: unparsed},
		{name: "3.1.2.9 more than one space in the start line", raw: `
INVITE  sip:user@example.com  SIP/2.0
Max-Forwards: 8
To: sip:user@example.com
From: sip:caller@example.net;tag=8814
Call-ID: lwsstart.dfknq234oi243099adsdfnawe3@example.com
CSeq: 1893884 INVITE
Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw3923
Content-Length: 0

`, status: unparsed},
		{name: "3.1.2.10 trailing space in the start line", raw: "OPTIONS sip:remote-target@example.com SIP/2.0  \n" + `Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK299342093
To: <sip:remote-target@example.com>
From: <sip:local-resource@example.com>;tag=329429089
Call-ID: trws.oicu34958239neffasdhr2345r
CSeq: 238923 OPTIONS
Max-Forwards: 70
Content-Length: 0

`, status: unparsed},
		{name: "3.1.2.11 headers in the Request-URI", raw: `
INVITE sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=341518
Max-Forwards: 7
Contact: <sip:caller@host39923.example.net>
Call-ID: escruri.23940-asdfhj-aje3br-234q098w-fawerh2q-h4n5
CSeq: 149209342 INVITE
Via: SIP/2.0/UDP host-of-the-hour.example.com;branch=z9hG4bKkdjuw
Content-Length: 0

`, check: func(t *testing.T, req *Request) { // RFC: may be taken by ignoring it
			require.Equal(t, "sip:user@example.com", RequestURI(req).Key())
		}},
		{name: "3.1.2.14 spaces inside an addr-spec", raw: `
OPTIONS sip:user@example.org SIP/2.0
Via: SIP/2.0/UDP host4.example.com:5060;branch=z9hG4bKkdju43234
Max-Forwards: 70
From: "Bell, Alexander" <sip:a.g.bell@example.com>;tag=433423
To: "Watson, Thomas" < sip:t.watson@example.org >
Call-ID: badaspec.sdf0234n2nds0a099u23h3hnnw009cdkne3
Accept: application/sdp
CSeq: 3923239 OPTIONS
l: 0

`}, // RFC: may be taken or refused
		{name: "3.1.2.15 non-token display name", raw: `
OPTIONS sip:t.watson@example.org SIP/2.0
Via:     SIP/2.0/UDP c.example.com:5060;branch=z9hG4bKkdjuw
Max-Forwards:      70
From:    Bell, Alexander <sip:a.g.bell@example.com>;tag=43
To:      Watson, Thomas <sip:t.watson@example.org>
Call-ID: baddn.31415@c.example.com
Accept: application/sdp
CSeq:    3923239 OPTIONS
l: 0

`},
		{name: "3.1.2.16 unknown version", raw: `
OPTIONS sip:t.watson@example.org SIP/7.0
Via:     SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw
Max-Forwards:     70
From:    A. Bell <sip:a.g.bell@example.com>;tag=qweoiqpe
To:      T. Watson <sip:t.watson@example.org>
Call-ID: badvers.31417@c.example.com
CSeq:    1 OPTIONS
l: 0

`, status: 505},
		{name: "3.1.2.17 method of the CSeq differs", raw: `
OPTIONS sip:user@example.com SIP/2.0
To: sip:j.user@example.com
From: sip:caller@example.net;tag=34525
Max-Forwards: 6
Call-ID: mismatch01.dj0234sxdfl3
CSeq: 8 INVITE
Via: SIP/2.0/UDP host.example.com;branch=z9hG4bKkdjuw
l: 0

`, status: 400},
		{name: "3.2.1 branch is only the cookie", raw: `
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK
Accept: application/sdp
Call-ID: badbranch.sadonfo23i420jv0as0derf3j3n
CSeq: 8 OPTIONS
l: 0

`},
		{name: "3.3.1 missing fields", raw: `
INVITE sip:user@example.com SIP/2.0
CSeq: 193942 INVITE
Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf
Content-Type: application/sdp
l: 0

`, status: 400},
		{name: "3.3.2 unknown scheme", raw: `
OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=384
Max-Forwards: 3
Call-ID: unkscm.nasdfasser0q239nwsdfasdkl34
CSeq: 3923423 OPTIONS
Via: SIP/2.0/TCP host9.example.com;branch=z9hG4bKkdjuw39234
Content-Length: 0

`, status: 416},
		{name: "3.3.3 known scheme that is not for SIP", raw: `
OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=384
Max-Forwards: 3
Call-ID: novelsc.asdfasser0q239nwsdfasdkl34
CSeq: 3923423 OPTIONS
Via: SIP/2.0/TCP host9.example.com;branch=z9hG4bKkdjuw39234
Content-Length: 0

`, status: unparsed},
		{name: "3.3.4 unknown scheme in To and From", raw: `
REGISTER sip:example.com SIP/2.0
To: isbn:2983792873
From: <http://www.example.com>;tag=3234233
Call-ID: unksm2.daksdj@hyphenated-host.example.com
CSeq: 234902 REGISTER
Max-Forwards: 70
Via: SIP/2.0/UDP 192.0.2.21:5060;branch=z9hG4bKkdjuw
Contact: <name:John_Smith>
l: 0

`}, // the registrar refuses it: it is no address of ours
		{name: "3.3.5 Require and Proxy-Require", raw: `
OPTIONS sip:user@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.net;tag=242etr
Max-Forwards: 6
Call-ID: bext01.0ha0isndaksdj
Require: nothingSupportsThis, nothingSupportsThisEither, PATH
Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis
CSeq: 8 OPTIONS
Via: SIP/2.0/TLS fold-and-staple.example.com;branch=z9hG4bKkdjuw
Content-Length: 0

`, status: 420},
		{name: "3.3.8 fields that may be there once", raw: `
INVITE sip:user@company.com SIP/2.0
Contact: <sip:caller@host25.example.net>
Via: SIP/2.0/UDP 192.0.2.25;branch=z9hG4bKkdjuw
Max-Forwards: 70
CSeq: 5 INVITE
Call-ID: multi01.98asdh@192.0.2.1
CSeq: 59 INVITE
Call-ID: multi01.98asdh@192.0.2.2
From: sip:caller@example.com;tag=3413415
To: sip:user@example.com
To: sip:other@example.net
From: sip:caller@example.net;tag=2923420123
Content-Type: application/sdp
l: 0
Contact: <sip:caller@host36.example.net>
Max-Forwards: 5

`, status: 400},
		{name: "3.3.9 two Content-Lengths", raw: `
OPTIONS sip:user@example.com SIP/2.0
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bK293423
To: sip:user@example.com
From: sip:other@example.net;tag=3923942
Call-ID: mcl01.fhn2323orihawfdoa3o4r52o3irsdf
CSeq: 15932 OPTIONS
Content-Length: 13
Max-Forwards: 60
Content-Length: 5
Content-Type: text/plain

There's no way to know how many octets are supposed to be here.
`, status: 400},
		{name: "3.3.11 Max-Forwards 0 for an OPTIONS", raw: `
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=3ghsd41
Call-ID: zeromf.jfasdlfnm2o2l43r5u0asdfas
CSeq: 39234321 OPTIONS
Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw2349i
Max-Forwards: 0
Content-Length: 0

`},
		{name: "Max-Forwards 0 for a MESSAGE", raw: `
MESSAGE sip:user@example.com SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=3ghsd41
Call-ID: zeromf.2
CSeq: 1 MESSAGE
Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdjuw2349i
Max-Forwards: 0
Content-Length: 0

`, status: 483},
		{name: "3.4.1 a request of RFC 2543", raw: `
INVITE sip:UserB@example.com SIP/2.0
Via: SIP/2.0/UDP iftgw.example.com
From: <sip:+13035551111@ift.client.example.net;user=phone>
Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>
To: sip:+16505552222@ss1.example.net;user=phone
Call-ID: inv2543.1717@ift.client.example.com
CSeq: 56 INVITE
Content-Type: application/sdp
l: 0

`},
		{name: "LF only", raw: "\x00", status: unparsed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := ParseMessage(crlf(tt.raw))
			if tt.status == unparsed {
				require.ErrorIs(t, err, ErrParse)
				if msg != nil {
					_, err := AppendMessage(nil, NewResponse(msg.(*Request), Status{Code: 400}, "t"))
					require.NoError(t, err)
				}
				return
			}
			require.NoError(t, err)
			req := msg.(*Request)
			st := CheckRequest(req, "path")
			if tt.status != 0 {
				require.NotNil(t, st)
				require.Equal(t, tt.status, st.Code, st.Reason)
				// Whatever was wrong, the refusal can be sent.
				_, err := AppendMessage(nil, NewResponse(req, *st, "t"))
				if strings.HasPrefix(tt.name, "3.1.1.2") {
					require.ErrorIs(t, err, ErrInvalid) // it would repeat the control characters
					return
				}
				require.NoError(t, err)
				return
			}
			require.Nil(t, st)
			if tt.check != nil {
				tt.check(t, req)
			}
			if tt.name[0] == '3' {
				_, err = AppendMessage(nil, NewResponse(req, Status{Code: 200}, "t"))
				require.NoError(t, err)
			}
		})
	}
}

func TestTortureResponses(t *testing.T) {
	head := `
To: sip:user@example.com;tag=1
From: sip:caller@example.net;tag=2
Call-ID: res@h
CSeq: 35 INVITE
Via: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK29423
Content-Length: 0

`
	for _, tt := range []struct {
		name, first string
		good        bool
		reason      string
	}{
		{"3.1.1.12 unusual reason phrase", "SIP/2.0 200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e", true, "= 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e"},
		{"3.1.1.13 empty reason phrase", "SIP/2.0 100 ", true, ""},
		{"3.1.2.19 overlarge code", "SIP/2.0 4294967301 better not break the receiver", false, ""},
		{"code out of range", "SIP/2.0 700 No", false, ""},
		{"version", "SIP/1.0 200 OK", false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := ParseMessage(crlf(tt.first + head))
			if err != nil {
				require.False(t, tt.good, err)
				return
			}
			res := msg.(*Response)
			err = CheckResponse(res)
			require.Equal(t, tt.good, err == nil, err)
			if tt.good {
				require.Equal(t, tt.reason, res.Reason)
			}
		})
	}
	for _, drop := range []string{"To", "From", "Call-ID", "CSeq", "Via"} {
		lines := strings.Split("SIP/2.0 200 OK"+head, "\n")
		var keep []string
		for _, l := range lines {
			if !strings.HasPrefix(l, drop+":") {
				keep = append(keep, l)
			}
		}
		msg, err := ParseMessage(crlf(strings.Join(keep, "\n")))
		require.NoError(t, err)
		require.ErrorIs(t, CheckResponse(msg.(*Response)), ErrResponse, "without %s", drop)
	}
}
