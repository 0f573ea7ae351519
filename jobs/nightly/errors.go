package nightly

import (
	"context"
	"errors"
)

// The exit codes that a scheduler can rely on.
const (
	ExitDone       = 0
	ExitUsage      = 2
	ExitBadData    = 65  // do not retry
	ExitTransient  = 75  // retry
	ExitNoInput    = 99  // nothing to do for this date
	ExitTerminated = 143 // SIGTERM or SIGINT
)

// An Error carries the exit code that a scheduler should see.
type Error struct {
	Code int
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Usage marks a fault in what the user wrote.
func Usage(err error) error { return &Error{ExitUsage, err} }

// BadData marks a fault in the data: a retry would fail the same way.
func BadData(err error) error { return &Error{ExitBadData, err} }

// Transient marks a fault that a retry may not see.
func Transient(err error) error { return &Error{ExitTransient, err} }

// NoInput marks a date for which there is nothing to read.
func NoInput(err error) error { return &Error{ExitNoInput, err} }

// ExitCode is the code for an error: what it was marked with, or transient.
func ExitCode(err error) int {
	var e *Error
	switch {
	case err == nil:
		return ExitDone
	case errors.Is(err, context.Canceled):
		return ExitTerminated
	case errors.As(err, &e):
		return e.Code
	}
	return ExitTransient
}
