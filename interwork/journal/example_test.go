package journal_test

import (
	"fmt"
	"time"

	"github.com/stoxgate/stoxgate/interwork/journal"
)

func ExampleLadder() {
	j := journal.New(journal.Config{})
	flow := "m-k3f9-1"
	at := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	j.Add(journal.Entry{At: at, Flow: flow, From: "mira@chat.example", To: journal.Gateway, Protocol: journal.XMPP, Summary: "message chat"})
	j.Add(journal.Entry{At: at.Add(time.Millisecond), Flow: flow, From: journal.Gateway, To: "otto@voice.example", Protocol: journal.SIP, Summary: "MESSAGE"})
	j.Add(journal.Entry{At: at.Add(40 * time.Millisecond), Flow: flow, From: "otto@voice.example", To: journal.Gateway, Protocol: journal.SIP, Summary: "200 OK"})
	fmt.Print(journal.Ladder(j.Flow(flow), journal.LadderOptions{Width: 80}))
	// Output:
	// mira@chat.example       stoxgate       otto@voice.example
	//                    │                   │                   │
	//     0.0000         ├── message chat ──▶│                   │
	//     0.0010         │                   ├───── MESSAGE ────▶│
	//     0.0400         │                   │◀──── 200 OK ──────┤
}
