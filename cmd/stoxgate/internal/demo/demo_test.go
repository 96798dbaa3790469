package demo_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/stoxgate/stoxgate/cmd/stoxgate/internal/demo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryStepOfTheStory(t *testing.T) {
	var out strings.Builder
	err := demo.Run(t.Context(), demo.Options{Out: &out, Width: 100, Version: "test"})
	require.NoError(t, err, out.String())
	require.NotContains(t, out.String(), "FAILED")
	require.Contains(t, out.String(), "All steps went as they should.")
}
