package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// nameless makes a file in dir that never has a name; ok is false where the file
// system cannot.
func nameless(dir string) (f *os.File, ok bool) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, false
	}
	return os.NewFile(uintptr(fd), dir+"/(temporary)"), true
}
