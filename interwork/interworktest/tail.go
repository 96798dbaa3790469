package interworktest

import (
	"io"
	"os"
	"time"
)

// tail reads a file that a program writes, from its beginning, while the
// program runs.
type tail struct {
	file string
	read func(io.Reader)
}

// follow runs until the program is gone (exited) and everything that it wrote
// was read.
func (t *tail) follow(exited <-chan struct{}) {
	r := &tailReader{file: t.file, exited: exited}
	defer r.close()
	t.read(r)
	// A reader that gave up early must not matter to anyone.
	_, _ = io.Copy(io.Discard, r)
}

// tailReader is an io.Reader that waits at the end of the file for more.
type tailReader struct {
	file   string
	exited <-chan struct{}
	f      *os.File // nil until the file is there
}

func (r *tailReader) Read(p []byte) (int, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		// Asked before the file is read: what was written before the end of
		// the program is read after it.
		ended := closed(r.exited)
		if r.f == nil {
			// Not there yet, as a rule; other reasons don't go away and end
			// with the program.
			r.f, _ = os.Open(r.file)
		}
		if r.f != nil {
			if n, err := r.f.Read(p); n > 0 || err != io.EOF {
				return n, err
			}
		}
		if ended {
			return 0, io.EOF
		}
		select {
		case <-tick.C:
		case <-r.exited:
		}
	}
}

func (r *tailReader) close() {
	if r.f != nil {
		r.f.Close()
	}
}
