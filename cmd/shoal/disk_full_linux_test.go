package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ended is what a process on a small disk says of its end.
type ended struct {
	Code   int
	Stdout string
	Stderr string
	Out    []string // files under out, without those of the run before
	Temp   []string // files in TMPDIR
	Used   int64    // bytes of the small disk
}

// TestSmallDisk is no test of its own: it is the process that TestDiskFillsUp starts in a
// namespace, where it may mount a file system of a certain size.
func TestSmallDisk(t *testing.T) {
	size, ok := os.LookupEnv("SHOAL_TEST_DISK_SIZE")
	if !ok {
		t.Skip("a part of TestDiskFillsUp")
	}
	disk := os.Getenv("SHOAL_TEST_DISK")
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	used := func() int64 {
		var s syscall.Statfs_t
		if err := syscall.Statfs(disk, &s); err != nil {
			t.Fatal(err)
		}
		return int64(s.Blocks-s.Bfree) * s.Bsize
	}
	before := used()
	var e ended
	e.Code, e.Stdout, e.Stderr = shoal(t, words(os.Getenv("SHOAL_TEST_ARGS"))...)
	e.Used = used() - before
	e.Temp = list(t, os.TempDir())
	e.Out = list(t, os.Getenv("SHOAL_TEST_OUT"))
	data, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(os.Getenv("SHOAL_TEST_SAID"), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// list names the files and directories below a directory, which need not exist.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.Walk(dir, func(path string, _ os.FileInfo, err error) error {
		if os.IsNotExist(err) {
			return nil
		}
		if rel, _ := filepath.Rel(dir, path); rel != "." {
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestDiskFillsUp runs nights and exports on real file systems that are too small, of one
// size after another: first only that of temporary files, then that of the output. They
// end with code 75 and name the directory, nothing of theirs is left, and where there is
// room at last they write what they write where there is room for all. SHOAL_SWEEP=all
// goes in steps of 64 KiB.
func TestDiskFillsUp(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it makes dozens of runs")
	}
	dir := t.TempDir()
	t.Chdir(dir)
	rows := events(12_000)
	for i := range rows {
		id := "the busiest"
		if i%2 == 0 {
			id = fmt.Sprintf("customer-%d", i*7919%1000)
		}
		rows[i].Customer = &id
	}
	writeParquet(t, "in/a.parquet", rows)
	config := strings.ReplaceAll(goodConfig, "DIR/in", dir+"/in")
	config = strings.ReplaceAll(config, "DIR/out/deep", dir+"/out/deep")
	if err := os.WriteFile("shoal.yaml", []byte(config+"features: {families: [recency, frequency, money]}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"small", "roomy", "out"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	step := 512 << 10
	if os.Getenv("SHOAL_SWEEP") == "all" {
		step = 64 << 10
	}
	// on runs the program where dir/on is a file system of some bytes.
	on := func(disk string, size int, args, temporary, out string) ended {
		t.Helper()
		said := filepath.Join(dir, "said")
		cmd := exec.Command(os.Args[0], "-test.run=^TestSmallDisk$")
		cmd.Env = append(os.Environ(), "SHOAL_TEST_ARGS="+args, "SHOAL_TEST_SAID="+said, "SHOAL_TEST_DISK="+filepath.Join(dir, disk),
			fmt.Sprintf("SHOAL_TEST_DISK_SIZE=%d", size), "SHOAL_TEST_OUT="+filepath.Join(dir, out), "TMPDIR="+filepath.Join(dir, temporary))
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		text, err := cmd.CombinedOutput()
		if err != nil && size == 1<<30 && (os.IsPermission(err) || strings.Contains(string(text), "operation not permitted")) {
			t.Skipf("this system gives tests no file systems of their own: %v", err)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		data, err := os.ReadFile(said)
		var e ended
		if err == nil {
			err = json.Unmarshal(data, &e)
		}
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	const little = " --memory 32MiB --workers 2 --log json"
	for _, c := range []struct {
		name, disk, args, temporary, out string
	}{
		{"temporary files of a run", "small", "run --date 2024-06-30" + little, "small", "out"},
		{"temporary files of an export", "small", "export --date 2024-03-31 --date 2024-06-30 --out " + dir + "/out/tables" + little, "small", "out"},
		{"the output of a run", "out", "run --date 2024-06-30 --workers 2 --log json", "roomy", "out"},
		{"the output of an export", "out", "export --date 2024-03-31 --date 2024-06-30 --out " + dir + "/out/tables --workers 2 --log json", "roomy", "out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			clear := func() {
				if err := os.RemoveAll("out"); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir("out", 0o755); err != nil {
					t.Fatal(err)
				}
			}
			whole := on(c.disk, 1<<30, c.args, c.temporary, c.out)
			if whole.Code != 0 || len(whole.Out) < 2 || len(whole.Temp) > 0 || c.disk == "small" && whole.Used > 0 {
				t.Fatalf("where there is room: %+v", whole)
			}
			clear()
			failed := 0
			for size := step / 8; ; size += step { // a size of 0 has no bound
				e := on(c.disk, size, c.args, c.temporary, c.out)
				if e.Code == 0 {
					if d := cmp.Diff(whole.Out, e.Out); d != "" {
						t.Errorf("%d bytes were enough (-want +got):\n%s", size, d)
					}
					break
				}
				failed++
				full := filepath.Join(dir, c.disk)
				if e.Code != 75 || !strings.Contains(e.Stderr, full) || !strings.Contains(e.Stderr, "no space left") || !strings.Contains(e.Stdout, `"exit_code":75`) {
					t.Errorf("%d bytes: exit %d\n%s", size, e.Code, e.Stderr)
				}
				kept := slices.DeleteFunc(e.Out, func(name string) bool { return name == "deep" || name == "tables" })
				if len(kept) > 0 || len(e.Temp) > 0 || c.disk == "small" && e.Used > 0 {
					t.Errorf("%d bytes: %d bytes are left, %v %v", size, e.Used, kept, e.Temp)
				}
				clear()
				if failed > 1000 {
					t.Fatal("it fits on no disk")
				}
			}
			if failed < 1 {
				t.Errorf("%d sizes were too small: it fits on any disk", failed)
			}
			t.Logf("%d sizes were too small, in steps of %d KiB", failed, step>>10)
			clear()
		})
	}
}
