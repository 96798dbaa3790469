//go:build unix

package transcode

import (
	"time"

	"golang.org/x/sys/unix"
)

// processTime is the processor time of the process, which on a shared machine tells more
// than the clock.
func processTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
