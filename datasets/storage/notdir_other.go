//go:build !unix

package storage

// isNotDir is false where the system reports a path through a file as missing.
func isNotDir(error) bool { return false }
