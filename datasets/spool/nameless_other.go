//go:build !linux

package spool

import "os"

// nameless makes no file: this system gives every file a name first.
func nameless(string) (f *os.File, ok bool) { return nil, false }
