//go:build unix

package storage

import (
	"errors"
	"syscall"
)

// isNotDir reports that a path goes through something that is not a directory.
func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
