package process

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func machine() string {
	boot, err := unix.SysctlTimeval("kern.boottime")
	host, hostErr := os.Hostname()
	if err != nil || hostErr != nil {
		return ""
	}
	return fmt.Sprintf("%s %d", host, boot.Sec)
}

// born is when a process began; "" for one that has ended. known is false where
// that cannot be seen.
func born(pid int) (at string, known bool) {
	if errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
		return "", true
	}
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return "", false
	}
	return fmt.Sprintf("%d.%06d", p.Proc.P_starttime.Sec, p.Proc.P_starttime.Usec), true
}
