// Package s3server runs an S3 server for a test, gofakes3 in memory or versitygw as a
// process of its own, behind a proxy that does what networks do: it answers 503, loses
// the answer to a request that was carried out, cuts bodies short and stalls.
package s3server

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/datasets/storage/objects"
)

// AccessKey and SecretKey are what the tests sign with. Only versitygw checks the
// signatures; a test may look for the keys where they must not be.
const (
	AccessKey = "AKIASHOALTESTS000001"
	SecretKey = "planted/secret+0000000000000000000000001"
)

// Faults are how often, of one request in one, the proxy misbehaves.
type Faults struct {
	Unavailable float64 // 503 SlowDown, and nothing was done
	Lost        float64 // the request is carried out and the connection reset
	Reset       float64 // the connection is reset before anything was done
	Cut         float64 // the body of the answer ends too early
	Slow        float64 // the body of the answer comes in small pieces
	Stall       float64 // half the answer comes, and then nothing
	Seed        uint64
}

// A Server is an S3 server and the proxy before it.
type Server struct {
	backend gofakes3.Backend // nil: versitygw
	dir     string           // where versitygw keeps its buckets
	proxy   *httptest.Server
	forward *httputil.ReverseProxy

	mu     sync.Mutex
	faults Faults
	rng    *rand.Rand
	hurt   map[string]int
	reads  map[string]int64 // bytes of bodies by method
	count  int
	deny   func(*http.Request) int
}

// Start runs a server until the test ends, and points the AWS environment at it.
func Start(t testing.TB) *Server {
	t.Helper()
	at := gofakes3.FixedTimeSource(time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)) // so that copies of a bucket are alike
	s := &Server{backend: s3mem.New(s3mem.WithTimeSource(at)), hurt: map[string]int{}, reads: map[string]int64{}}
	direct := httptest.NewServer(gofakes3.New(s.backend, gofakes3.WithTimeSkewLimit(0), gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(direct.Close)
	s.front(t, direct.URL, nil)
	return s
}

// front puts the proxy before a server, and points the AWS environment at the proxy.
func (s *Server) front(t testing.TB, address string, by http.RoundTripper) {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	s.forward = &httputil.ReverseProxy{
		Transport: by,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // which is signed
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { reset(w) },
	}
	s.proxy = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(func() { s.proxy.CloseClientConnections(); s.proxy.Close() })
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_S3": s.proxy.URL, "AWS_ACCESS_KEY_ID": AccessKey, "AWS_SECRET_ACCESS_KEY": SecretKey, "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
}

// Quick is a patience for tests: what cannot be repeated successfully is given up in
// about a second.
func Quick() objects.Options {
	return objects.Options{Attempts: 10, Pause: time.Millisecond, MaxPause: 50 * time.Millisecond, Stall: 2 * time.Second}
}

// FS is the world as the program sees it through the proxy.
func (s *Server) FS() storage.FS { return cloud.New(Quick()) }

// URL is the address of the proxy.
func (s *Server) URL() string { return s.proxy.URL }

// Bucket makes an empty bucket.
func (s *Server) Bucket(t testing.TB, name string) {
	t.Helper()
	var err error
	if s.backend == nil {
		err = os.Mkdir(filepath.Join(s.dir, name), 0o755)
	} else {
		err = s.backend.CreateBucket(name)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Copy makes a bucket of gofakes3 with all that another holds, without asking the server.
func (s *Server) Copy(t testing.TB, from, to string) {
	t.Helper()
	s.Bucket(t, to)
	list, err := s.backend.ListBucket(from, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list.Contents {
		o, err := s.backend.GetObject(from, c.Key, nil)
		if err == nil {
			_, err = s.backend.PutObject(to, c.Key, o.Metadata, o.Contents, o.Size, nil)
			o.Contents.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Drop removes a bucket of gofakes3 and all in it.
func (s *Server) Drop(t testing.TB, name string) {
	t.Helper()
	if err := s.backend.ForceDeleteBucket(name); err != nil {
		t.Fatal(err)
	}
}

// Set makes the proxy misbehave from now on.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults, s.rng = f, rand.New(rand.NewPCG(f.Seed, 1))
	s.hurt = map[string]int{}
}

// Deny makes the proxy answer with a status instead of asking the server; 0 is to ask.
func (s *Server) Deny(which func(*http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deny = which
}

// Hurt says how often the proxy has misbehaved since Set, and in which ways.
func (s *Server) Hurt() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for k, v := range s.hurt {
		all[k] = v
	}
	return all
}

// Traffic counts the requests so far, and the bytes of what was answered to GET.
func (s *Server) Traffic() (requests int, got int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.reads[http.MethodGet]
}

// fate draws what happens to a request.
func (s *Server) fate() string {
	if s.rng == nil {
		return ""
	}
	x := s.rng.Float64()
	for _, f := range []struct {
		name  string
		share float64
	}{
		{"unavailable", s.faults.Unavailable}, {"lost", s.faults.Lost}, {"reset", s.faults.Reset},
		{"cut", s.faults.Cut}, {"slow", s.faults.Slow}, {"stall", s.faults.Stall},
	} {
		if x -= f.share; x < 0 {
			s.hurt[f.name]++
			return f.name
		}
	}
	return ""
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.count++
	fate, deny := s.fate(), s.deny
	s.mu.Unlock()
	if deny != nil {
		if status := deny(r); status != 0 {
			refuse(w, status)
			return
		}
	}
	switch fate {
	case "unavailable":
		io.Copy(io.Discard, r.Body)
		refuse(w, http.StatusServiceUnavailable)
		return
	case "reset":
		reset(w)
		return
	case "lost":
		s.forward.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context())))
		reset(w)
		return
	}
	answer := httptest.NewRecorder()
	s.forward.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	s.mu.Lock()
	s.reads[r.Method] += int64(len(body))
	s.mu.Unlock()
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.Code)
	flush := func() { _ = http.NewResponseController(w).Flush() }
	switch {
	case len(body) < 2 || fate == "":
		_, _ = w.Write(body)
	case fate == "cut":
		_, _ = w.Write(body[:len(body)/2])
		flush()
		reset(w)
	case fate == "slow":
		for len(body) > 0 {
			n := min(len(body), max(1, len(body)/8))
			_, _ = w.Write(body[:n])
			body = body[n:]
			flush()
			time.Sleep(5 * time.Millisecond)
		}
	case fate == "stall":
		_, _ = w.Write(body[:len(body)/2])
		flush()
		<-r.Context().Done()
	}
}

// refuse answers as S3 does.
func refuse(w http.ResponseWriter, status int) {
	code := map[int]string{403: "AccessDenied", 404: "NoSuchBucket", 503: "SlowDown"}[status]
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>`+strings.ToLower(code)+`</Message></Error>`)
}

// reset ends the connection as a broken network does.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) || err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}
