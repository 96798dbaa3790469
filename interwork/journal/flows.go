package journal

import (
	"cmp"
	"slices"
	"time"
)

// FlowInfo sums up one flow for a list.
type FlowInfo struct {
	ID      string    `json:"id"`
	Start   time.Time `json:"start"` // of the first entry that is kept
	End     time.Time `json:"end"`   // of the last
	Entries int       `json:"entries"`
	Peers   []string  `json:"peers"`          // the lanes beside the gateway, in order of appearance
	Summary string    `json:"summary"`        // of the first entry
	Last    string    `json:"last"`           // summary of the last entry
	Note    string    `json:"note,omitempty"` // the last note

	seq uint64 // of the last entry
}

// Flows returns the n flows that were active last, the most recent first.
// n <= 0 means all that are kept. Entries without a flow are left out.
func (j *Journal) Flows(n int) []FlowInfo {
	byID := map[string]*FlowInfo{}
	for _, e := range j.Recent(0) {
		if e.Flow == "" {
			continue
		}
		f := byID[e.Flow]
		if f == nil {
			f = &FlowInfo{ID: e.Flow, Start: e.At, Summary: e.Summary, Peers: []string{}}
			byID[e.Flow] = f
		}
		f.add(&e)
	}
	out := make([]FlowInfo, 0, len(byID))
	for _, f := range byID {
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b FlowInfo) int { return cmp.Compare(b.seq, a.seq) })
	if n > 0 && len(out) > n {
		out = out[:n]
	}
	return out
}

func (f *FlowInfo) add(e *Entry) {
	f.Entries++
	f.End, f.seq = e.At, e.Seq
	if e.Summary != "" {
		f.Last = e.Summary
	}
	if e.Note != "" {
		f.Note = e.Note
	}
	for _, lane := range [...]string{e.From, e.To} {
		if lane != "" && lane != Gateway && !slices.Contains(f.Peers, lane) {
			f.Peers = append(f.Peers, lane)
		}
	}
}
