package siptest

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// pairOf is two phones: the second is the first one's proxy.
func pairOf(t *testing.T, a, b Config) (*UA, *UA) {
	t.Helper()
	second := Start(t, b)
	a.Proxy = second.Addr()
	return Start(t, a), second
}
