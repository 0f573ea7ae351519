// Package process tells whether a process of this machine has ended.
package process

import (
	"os"
	"sync"
)

// An ID says which process holds something, so that another on the same machine
// sees at once when it is gone. On other machines that cannot be told.
type ID struct {
	PID     int    `json:"pid"`
	Machine string `json:"machine,omitempty"` // this boot of this machine, and who counts processes there
	Born    string `json:"born,omitempty"`    // when the process began: its number may be another's by now
}

// This is the process that asks.
var This = sync.OnceValue(func() ID {
	p := ID{PID: os.Getpid(), Machine: machine()}
	p.Born, _ = born(p.PID)
	return p
})

// Gone reports that the process has ended for certain.
func (p ID) Gone() bool {
	us := This()
	if p.Machine == "" || p.Machine != us.Machine || p.Born == "" || us.Born == "" {
		return false
	}
	at, known := born(p.PID)
	return known && at != p.Born
}
