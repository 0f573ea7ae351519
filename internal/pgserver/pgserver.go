// Package pgserver runs a PostgreSQL server for a test.
package pgserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A Server is one that listens on a socket in a directory of its own, and on no
// network. Its user shoal may do anything, without a password.
type Server struct {
	Socket string // directory
	bin    string
}

// Environment is what libpq's programs and drivers need to find it.
func (s *Server) Environment() map[string]string {
	return map[string]string{"PGHOST": s.Socket, "PGPORT": "5432", "PGUSER": "shoal", "PGDATABASE": "postgres", "PGPASSFILE": os.DevNull, "PGSSLMODE": "disable"}
}

// Set sets these variables for the rest of the test.
func (s *Server) Set(t testing.TB) {
	for k, v := range s.Environment() {
		t.Setenv(k, v)
	}
}

// Psql runs a script in psql and returns what it prints, without headers.
func (s *Server) Psql(t testing.TB, script string) (string, error) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "psql"), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
	cmd.Env = os.Environ()
	for k, v := range s.Environment() {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(script), &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("psql: %w: %s", err, stderr.Bytes())
	}
	return string(out), err
}

// Start starts a server that ends with the test. Where PostgreSQL is not
// installed the test is skipped, or fails when SHOAL_REQUIRE_POSTGRES=1: it is a package of
// the system, which a test cannot bring along.
func Start(t testing.TB) *Server {
	t.Helper()
	bin, err := programs()
	if err != nil {
		if os.Getenv("SHOAL_REQUIRE_POSTGRES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	// A socket's path is at most 107 bytes, which t.TempDir's may exceed.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	as, err := owner(dir)
	if err != nil {
		t.Skip(err)
	}
	run := func(program string, args ...string) error {
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.Dir, cmd.SysProcAttr = dir, as
		said, err := os.Create(filepath.Join(dir, program+".out")) // a pipe would wait for the server
		if err != nil {
			return err
		}
		defer said.Close()
		cmd.Stdout, cmd.Stderr = said, said
		if err := cmd.Run(); err != nil {
			text, _ := os.ReadFile(said.Name())
			return fmt.Errorf("%s: %w: %s", program, err, text)
		}
		return nil
	}
	data := filepath.Join(dir, "data")
	if err := run("initdb", "-D", data, "-U", "shoal", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"); err != nil {
		t.Fatal(err)
	}
	settings := "-c listen_addresses='' -c fsync=off -c unix_socket_directories=" + dir + " -p 5432"
	if err := run("pg_ctl", "-D", data, "-w", "-l", filepath.Join(dir, "log"), "-o", settings, "start"); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() {
		if err := run("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"); err != nil {
			t.Error(err)
		}
	})
	return &Server{Socket: dir, bin: bin}
}

// programs finds the newest PostgreSQL where Debian keeps it, or one on PATH.
func programs() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if p, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		found = append(found, p)
	}
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL server: install postgresql, or put initdb, pg_ctl and psql on PATH")
	}
	version := func(p string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p))))
		return n
	}
	newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
	return filepath.Dir(newest), nil
}

// owner makes the directory that of the user whom the server runs as: PostgreSQL
// refuses root.
func owner(dir string) (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2, os.Chown(dir, uid, gid)); err != nil {
			return nil, err
		}
		return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
	}
	return nil, errors.New("no user to run PostgreSQL as: it refuses root")
}
