package siptest

import "fmt"

// Answer is one step of an answer script.
type Answer struct {
	drop int // arrivals to lose; -1 = all
	run  func(in *Incoming)
}

// Status answers with a code and headers given as "Name: value".
func Status(code int, headers ...string) Answer {
	return Reply(func(in *Incoming) *Message { return in.Response(code, headers...) })
}

// Reply answers with what the function makes of the request.
func Reply(make func(in *Incoming) *Message) Answer {
	return Answer{run: func(in *Incoming) { _ = in.Send(make(in)) }}
}

// Drop loses the next n arrivals, retransmissions included, as a network does;
// n < 0 loses all.
func Drop(n int) Answer { return Answer{drop: n, run: func(*Incoming) {}} }

// Silent takes the request and absorbs its retransmissions but never answers.
func Silent() Answer { return Answer{run: func(*Incoming) {}} }

// Released does a when the channel is closed.
func Released(release <-chan struct{}, a Answer) Answer {
	return Answer{run: func(in *Incoming) {
		select {
		case <-release:
			a.run(in)
		case <-in.ua.done:
		}
	}}
}

// Series gives several answers to one request, as 100 and then 200.
func Series(answers ...Answer) Answer {
	return Answer{run: func(in *Incoming) {
		for _, a := range answers {
			a.run(in)
		}
	}}
}

// Twice sends each response of a two times.
func Twice(a Answer) Answer {
	return Answer{run: func(in *Incoming) {
		in.mu.Lock()
		in.copies = 2
		in.mu.Unlock()
		a.run(in)
	}}
}

// WrongCSeq sends a response whose CSeq number is not the request's. Its receiver
// must not take it for the answer.
func WrongCSeq(code int) Answer {
	return Answer{run: func(in *Incoming) {
		n, method := in.CSeq()
		_ = in.SendRaw(in.Response(code, fmt.Sprintf("CSeq: %d %s", n+7, method)).Bytes())
	}}
}

// WrongBranch sends a response that belongs to no transaction.
func WrongBranch(code int) Answer {
	return Answer{run: func(in *Incoming) {
		_ = in.SendRaw(in.Response(code, "Via: SIP/2.0/"+in.Transport+" "+in.Source+";branch=z9hG4bK"+token(6)).Bytes())
	}}
}

// Garbage sends bytes that are no SIP in place of an answer.
func Garbage(raw string) Answer {
	return Answer{run: func(in *Incoming) { _ = in.SendRaw([]byte(raw)) }}
}

// Disconnect closes the connection on which the request came.
func Disconnect() Answer {
	return Answer{run: func(in *Incoming) { in.link.close() }}
}

// ServerAuth is what a challenging server knows of a user.
type ServerAuth struct {
	Realm, User, Password string
	Algorithm             string // MD5 when empty
	Proxy                 bool   // 407 instead of 401
	// Stale answers the first valid answer with a new nonce and stale=true.
	Stale bool
}

// Authenticated challenges a request and does then when the challenge is answered
// rightly; a wrong answer gets 403 and is a violation. The script state (nonce)
// lives in the Answer value: use one per peer.
func Authenticated(auth ServerAuth, then Answer) Answer {
	nonces := make(chan string, 1)
	nonces <- token(8)
	stale := make(chan bool, 1)
	stale <- auth.Stale
	return Answer{run: func(in *Incoming) {
		code, challenge, credentials := 401, "WWW-Authenticate", "Authorization"
		if auth.Proxy {
			code, challenge, credentials = 407, "Proxy-Authenticate", "Proxy-Authorization"
		}
		alg := auth.Algorithm
		if alg == "" {
			alg = "MD5"
		}
		nonce := <-nonces
		again := <-stale
		defer func() { nonces <- nonce; stale <- again }()
		ask := func(extra string) {
			_ = in.Respond(code, fmt.Sprintf(`%s: Digest realm=%s, nonce="%s", algorithm=%s, qop="auth"%s`,
				challenge, quote(auth.Realm), nonce, alg, extra))
		}
		got := in.Get(credentials)
		if got == "" {
			ask("")
			return
		}
		if err := checkDigest(got, in.Method, auth.User, auth.Realm, auth.Password, nonce); err != nil {
			in.ua.check.add("%s: %v", in.title(), err)
			_ = in.Respond(403)
			return
		}
		if again {
			again, nonce = false, token(8)
			ask(", stale=true")
			return
		}
		then.run(in)
	}}
}

// AcceptRegister answers a REGISTER as a registrar does: 200 with the request's
// Contact, each with the expiry granted (seconds).
func AcceptRegister(expires int, headers ...string) Answer {
	return Reply(func(in *Incoming) *Message {
		res := in.Response(200)
		for _, c := range in.List("Contact") {
			if c == "*" {
				continue
			}
			if in.Get("Expires") == "0" {
				continue
			}
			res.Add("Contact", fmt.Sprintf("<%s>;expires=%d", addrURI(c), expires))
		}
		res.addLines(headers)
		return res
	})
}
