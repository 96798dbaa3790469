package interwork

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/stoxgate/stoxgate/interwork/store"
	"github.com/stoxgate/stoxgate/sip/event"
)

// keepAgain is the pause before the store is tried again when its queue is full.
const keepAgain = 50 * time.Millisecond

// rowKey names a row of the store's table of event dialogs.
type rowKey struct{ kind, id string }

// backlog holds the changes of dialogs that the store had no room for when thousands came
// at once: of each dialog the last. A change makes its row when it is written, so that it
// is the latest.
type backlog struct {
	mu      sync.Mutex
	changes map[rowKey]func() error
	running bool
}

func (e *events) keepWatcher(key pairKey, s *event.Subscription) {
	e.change(rowKey{kindWatcher, s.ID()}, func() error {
		r := s.Record()
		return e.put(store.EventDialogRow{Kind: kindWatcher, ID: r.ID, Expires: r.Expires}, key, r)
	})
}

func (e *events) keepWatch(ref *watchRef, w *event.Watch) {
	if ref.poll {
		return
	}
	e.change(rowKey{kindWatch, ref.id}, func() error {
		return e.put(store.EventDialogRow{Kind: kindWatch, ID: ref.id}, ref.key, w.Record())
	})
}

// keep writes a row whose record does not change any more.
func (e *events) keep(row store.EventDialogRow, key pairKey, record any) {
	e.change(rowKey{row.Kind, row.ID}, func() error { return e.put(row, key, record) })
}

func (e *events) forget(kind, id string) {
	e.change(rowKey{kind, id}, func() error { return e.g.store.DeleteEventDialog(kind, id, e.written) })
}

func (e *events) put(row store.EventDialogRow, key pairKey, record any) error {
	data, err := json.Marshal(record)
	if err != nil {
		return err
	}
	row.JID, row.AOR, row.Record = key.jid.String(), key.aor, data
	return e.g.store.PutEventDialog(row, e.written)
}

// change makes a change at once, or, when there is no room or others wait for it, later.
func (e *events) change(k rowKey, f func() error) {
	b := &e.backlog
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running {
		if err := f(); !errors.Is(err, store.ErrFull) {
			e.written(err)
			return
		}
		b.changes = make(map[rowKey]func() error)
		b.running = true
		e.g.work.Go(e.catchUp)
	}
	b.changes[k] = f
}

// catchUp makes the changes that wait. When the gateway ends it takes them along.
func (e *events) catchUp() {
	b := &e.backlog
	for {
		b.mu.Lock()
		for k, f := range b.changes {
			err := f()
			if errors.Is(err, store.ErrFull) {
				break
			}
			e.written(err)
			delete(b.changes, k)
		}
		if len(b.changes) == 0 {
			b.changes, b.running = nil, false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		time.Sleep(keepAgain) // the store empties its queue also at the end
	}
}

// written hears of a change. What fails is lost at a restart only, and heals itself: the
// dialog is set up anew.
func (e *events) written(err error) {
	if err != nil && !errors.Is(err, store.ErrClosed) {
		e.g.log.Warn().Err(err).Msg("subscription not stored")
	}
}
