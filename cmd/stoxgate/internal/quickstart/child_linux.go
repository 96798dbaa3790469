package quickstart

import "syscall"

// ownGroup also has the kernel end the child when we die without a chance to
// do it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
