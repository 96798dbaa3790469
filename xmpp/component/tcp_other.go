//go:build !linux

package component

import (
	"net"
	"time"
)

// setUserTimeout does nothing: the write deadline and the ping find a dead connection too, only later.
func setUserTimeout(*net.TCPConn, time.Duration) error { return nil }
