package interworktest

import (
	"errors"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// errNotYet is what conditions of these tests say until they hold.
var errNotYet = errors.New("not yet")
