package journal

import (
	"strings"
	"time"
)

// Row is an entry as the API shows it. The message is text there, because both
// protocols are text and the reader is a person.
type Row struct {
	Seq      uint64    `json:"seq" doc:"number of the entry, rising by one"`
	At       time.Time `json:"at" doc:"when the message was read or written"`
	Flow     string    `json:"flow,omitempty" doc:"correlation id"`
	From     string    `json:"from,omitempty" doc:"lane the arrow starts at: bare JID, SIP address or stoxgate"`
	To       string    `json:"to,omitempty" doc:"lane the arrow ends at"`
	Protocol string    `json:"protocol,omitempty" doc:"xmpp or sip"`
	Summary  string    `json:"summary" doc:"one line without bodies"`
	Note     string    `json:"note,omitempty" doc:"what the gateway has to say about it"`
	Message  string    `json:"message,omitempty" doc:"the message without credentials, where it is kept or was asked for"`
}

// Row returns the JSON form of e. Bytes of the message that are not UTF-8
// become U+FFFD.
func (e *Entry) Row() Row {
	return Row{
		Seq: e.Seq, At: e.At, Flow: e.Flow, From: e.From, To: e.To, Protocol: e.Protocol,
		Summary: e.Summary, Note: e.Note, Message: strings.ToValidUTF8(string(e.Message), "\uFFFD"),
	}
}

// Entry returns the entry that r was made from, as far as r shows it.
func (r *Row) Entry() Entry {
	e := Entry{Seq: r.Seq, At: r.At, Flow: r.Flow, From: r.From, To: r.To, Protocol: r.Protocol, Summary: r.Summary, Note: r.Note}
	if r.Message != "" {
		e.Message = []byte(r.Message)
	}
	return e
}

// Rows returns the JSON form of entries; never nil.
func Rows(entries []Entry) []Row {
	rows := make([]Row, len(entries))
	for i := range entries {
		rows[i] = entries[i].Row()
	}
	return rows
}
