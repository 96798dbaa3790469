//go:build !unix

package transcode

import "time"

// processTime is not known here.
func processTime() time.Duration { return 0 }
