package store

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
)

// lockDir opens the lock file without sharing; the system closes it when the process
// ends, however it ends.
func lockDir(path string) (unlock func() error, err error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, 0, nil,
		windows.OPEN_ALWAYS, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, windows.ERROR_SHARING_VIOLATION) {
		return nil, fmt.Errorf("%w: another process has %s", ErrLocked, path)
	}
	if err != nil {
		return nil, fmt.Errorf("store: locking %s: %w", path, err)
	}
	return func() error { return windows.CloseHandle(h) }, nil
}
