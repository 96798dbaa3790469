package interwork

import (
	"context"
	"encoding/binary"
	"time"

	"github.com/stoxgate/stoxgate/interwork/chat"
	"github.com/stoxgate/stoxgate/interwork/store"
)

// receipts keeps what SIP senders want to be told, for as long as a receipt may come.
type receipts struct{ store *store.Store }

func receiptKey(k pairKey, id string) string { return k.String() + " " + id }

func (r *receipts) put(k pairKey, id string, w chat.Wish) {
	value := binary.AppendVarint(nil, w.Sent.UnixMilli())
	if w.Negative {
		value = append(value, 1)
	}
	// A receipt that cannot be kept is carried all the same, with the time of now.
	_ = r.store.PutReceipt(receiptKey(k, id), value, store.ReceiptFor)
}

func (r *receipts) get(ctx context.Context, k pairKey, id string) (chat.Wish, bool) {
	value, ok, err := r.store.Receipt(ctx, receiptKey(k, id))
	if err != nil || !ok {
		return chat.Wish{}, false
	}
	at, n := binary.Varint(value)
	if n <= 0 {
		return chat.Wish{}, false
	}
	return chat.Wish{Sent: time.UnixMilli(at), Negative: len(value) > n && value[n] == 1}, true
}
