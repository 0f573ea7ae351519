package process

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

func machine() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	// Containers of one machine share its boot, not their process numbers.
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + " " + ns
}

// born is when a process began, in ticks since the boot; "" for one that has
// ended. known is false where that cannot be seen.
func born(pid int) (at string, known bool) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, fs.ErrNotExist) {
		_, err := os.Stat("/proc/self/stat") // or else there is no /proc
		return "", err == nil
	}
	if errors.Is(err, syscall.ESRCH) { // it ended just now
		return "", true
	}
	// The second field, the command in brackets, may hold anything.
	end := strings.LastIndexByte(string(stat), ')')
	fields := strings.Fields(string(stat)[end+1:])
	if err != nil || end < 0 || len(fields) < 20 {
		return "", false
	}
	if state := fields[0]; state == "Z" || state == "X" {
		return "", true // dead, and its parent has not asked yet
	}
	return fields[19], true
}
