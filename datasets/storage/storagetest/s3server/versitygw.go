package s3server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartReal is Start with versitygw, which keeps objects as files, checks signatures and
// conditions, and is a process of its own. It is built from the version that
// internal/tools/versitygw pins, once a machine; where it cannot be, the test is skipped,
// or fails when SHOAL_REQUIRE_ORACLES=1.
func StartReal(t testing.TB) *Server {
	t.Helper()
	program, err := versitygw()
	if err != nil {
		if os.Getenv("SHOAL_REQUIRE_ORACLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	// A socket's path is at most 107 bytes, which t.TempDir's may exceed.
	dir, err := os.MkdirTemp("", "s3")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &Server{dir: filepath.Join(dir, "buckets"), hurt: map[string]int{}, reads: map[string]int64{}}
	socket := filepath.Join(dir, "socket")
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	server := exec.Command(program, "--quiet", "--port", socket, "posix", s.dir)
	server.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	server.Stdout, server.Stderr = said, said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	t.Cleanup(func() {
		_ = server.Process.Kill()
		<-ended
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		conn, err := dial(t.Context(), "", "")
		if err == nil {
			conn.Close()
			break
		}
		text, _ := os.ReadFile(said.Name())
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("versitygw ended: %v\n%s", err, text)
		default:
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("versitygw does not answer: %v\n%s", err, text)
		}
	}
	s.front(t, "http://versitygw", &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 16})
	return s
}

// Dir is where versitygw keeps a bucket: an object is a file, a key its path.
func (s *Server) Dir(bucket string) string { return filepath.Join(s.dir, bucket) }

// versitygw is the path of the program, which Go builds when its cache has none.
func versitygw() (string, error) {
	root := exec.Command("go", "list", "-m", "-f", "{{.Dir}}")
	dir, err := root.Output()
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "tool", "-n", "versitygw")
	build.Dir = filepath.Join(strings.TrimSpace(string(dir)), "internal", "tools", "versitygw")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	var said strings.Builder
	build.Stderr = &said
	path, err := build.Output()
	if err != nil {
		return "", fmt.Errorf("versitygw cannot be built: %w: %s", err, said.String())
	}
	return strings.TrimSpace(string(path)), nil
}
