package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestShoal is the program itself when another test starts it as a process of
// its own.
func TestShoal(t *testing.T) {
	args, ok := os.LookupEnv("SHOAL_TEST_ARGS")
	if !ok {
		t.Skip("started by TestKilledWhileSpilling")
	}
	os.Exit(run(context.Background(), words(args), os.Stdout, os.Stderr))
}

// process starts the program with a directory for its temporary files.
func process(t *testing.T, temporary, args string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestShoal$")
	cmd.Env = append(os.Environ(), "SHOAL_TEST_ARGS="+args, "TMPDIR="+temporary)
	cmd.Stdout = io.Discard
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(stderr)
}

// spilled is how many bytes lie in a process's files without a name in dir.
func spilled(t *testing.T, pid int, dir string) (bytes int64) {
	t.Helper()
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		to, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(to, dir) || !strings.HasSuffix(to, "(deleted)") {
			continue
		}
		if info, err := os.Stat(fd); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// A process that is killed with no chance to clear up, at work on a history that
// does not fit its memory, leaves no temporary file once the same command has run
// again, and that writes the bytes that are written with memory enough.
func TestKilledWhileSpilling(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it makes a dozen runs")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	const customers = 1000
	rows := events(12_000)
	for i := range rows {
		id := "the busiest" // whose events alone fill blocks
		if i%2 == 0 {
			id = fmt.Sprintf("customer-%d", i*7919%customers)
		}
		rows[i].Customer = &id
	}
	writeParquet(t, "in/a.parquet", rows)
	if err := os.WriteFile("shoal.yaml", []byte(strings.ReplaceAll(goodConfig, "DIR/", "")+"features: {families: [recency, frequency, money]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	temporary := filepath.Join(dir, "temporary")
	if err := os.Mkdir(temporary, 0o755); err != nil {
		t.Fatal(err)
	}
	shoal := func(args string) (stderr string, code int, spilledBytes int64) {
		t.Setenv("TMPDIR", temporary)
		var out, log bytes.Buffer
		code = run(t.Context(), words(args), &out, &log)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		var summary struct {
			SpilledBytes int64 `json:"spilled_bytes"`
		}
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &summary); code == 0 && err != nil {
			t.Fatalf("%v in %s", err, &out)
		}
		return log.String(), code, summary.SpilledBytes
	}
	const little, enough = " --memory 32MiB --workers 2 --log json", " --memory 4GiB --workers 2 --log json"
	for _, c := range []struct {
		name, command, out string
		after              string // the last step before the kill
		writing            string // what is there when it is killed; "" is no matter
	}{
		{"export, while features are computed", "export --date 2024-03-31 --date 2024-06-30 --out tables", "tables", "read", "tables/.ds=2024-03-31*/*"},
		{"export, while a table is written", "export --date 2024-03-31 --date 2024-06-30 --out tables", "tables", "features", "tables/.ds=2024-06-30*/*"},
		{"run, while features are computed", "run --date 2024-06-30", "out", "order", ""},
		{"run, while it publishes", "run --date 2024-06-30", "out", "value", "out/deep/.staging-*/*/*.parquet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if log, code, n := shoal(c.command + enough); code != 0 || n != 0 {
				t.Fatalf("with memory enough: exit %d, %d bytes spilled\n%s", code, n, log)
			}
			want := contents(t, c.out)
			if err := os.RemoveAll(c.out); err != nil {
				t.Fatal(err)
			}
			kill(t, temporary, c.command+little, c.after, c.writing)
			if left := hidden(t, c.out); len(left) == 0 {
				t.Fatal("the killed process left nothing to clear up")
			}
			log, code, n := shoal(c.command + little)
			if code != 0 || n == 0 {
				t.Fatalf("after the kill: exit %d, %d bytes spilled\n%s", code, n, log)
			}
			if left := hidden(t, c.out); len(left) > 0 {
				t.Errorf("after the next run there are %v", left)
			}
			if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
				t.Errorf("after the next run there are temporary files %v %v", left, err)
			}
			if diff := cmp.Diff(want, contents(t, c.out)); diff != "" {
				t.Errorf("other bytes than with memory enough (-want +got):\n%s", diff)
			}
			if err := os.RemoveAll(c.out); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// kill starts a command and kills it once it has logged that a step is done and a
// file is there. It must have spilled by then.
func kill(t *testing.T, temporary, command, after, writing string) {
	t.Helper()
	cmd, log := process(t, temporary, command)
	done, lines := false, []string{}
	for log.Scan() {
		lines = append(lines, log.Text())
		if done = strings.Contains(log.Text(), `"step":"`+after+`"`); done {
			break
		}
	}
	for deadline := time.Now().Add(time.Minute); writing != "" && done && time.Now().Before(deadline); {
		if there, _ := filepath.Glob(writing); len(there) > 0 {
			break
		}
	}
	cmd.Process.Signal(syscall.SIGSTOP) // so that it stays as it is looked at
	n := spilled(t, cmd.Process.Pid, temporary)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if !done {
		t.Fatalf("it ended before step %s was done: %v\n%s", after, err, strings.Join(lines, "\n"))
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed in step %s: %v", after, err)
	}
	if n == 0 {
		t.Fatal("it had spilled nothing")
	}
}

// hidden are the files and directories under dir whose names begin with a dot.
func hidden(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), ".") {
			names = append(names, path)
		}
		if os.IsNotExist(err) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// contents are the digests of the tables under dir, by file.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".parquet") {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = fmt.Sprintf("%x", sha256.Sum256(b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no tables under %s", dir)
	}
	return files
}
