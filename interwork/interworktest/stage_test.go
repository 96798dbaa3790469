package interworktest

import "testing"

// stage is the TB of peers that many subtests share: what fails while one of
// them runs is a failure of that one; what must be tidied up is tidied up at the
// end of the whole test.
type stage struct {
	*testing.T            // the whole test
	now        *testing.T // the running subtest
}

func newStage(t *testing.T) *stage { return &stage{T: t, now: t} }

// run runs a subtest.
func (s *stage) run(name string, f func(t *testing.T)) {
	s.T.Run(name, func(t *testing.T) {
		s.now = t
		defer func() { s.now = s.T }()
		f(t)
	})
}

func (s *stage) Helper()                           { s.now.Helper() }
func (s *stage) Name() string                      { return s.now.Name() }
func (s *stage) Logf(format string, args ...any)   { s.now.Helper(); s.now.Logf(format, args...) }
func (s *stage) Errorf(format string, args ...any) { s.now.Helper(); s.now.Errorf(format, args...) }
func (s *stage) Fatalf(format string, args ...any) { s.now.Helper(); s.now.Fatalf(format, args...) }
func (s *stage) Skipf(format string, args ...any)  { s.now.Helper(); s.now.Skipf(format, args...) }
