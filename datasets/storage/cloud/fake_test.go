package cloud_test

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/storage/cloud"
	"github.com/shoal-data/shoal/datasets/storage/storagetest"
	"github.com/shoal-data/shoal/datasets/storage/storagetest/s3server"
)

// fake answers as Google Cloud Storage's JSON API and Azure's Blob service do, as far
// as this package asks them, from their documentation: it shows that requests are well
// formed and answers understood, not that the clouds keep to what they document.
type fake struct {
	t       *testing.T
	mu      sync.Mutex
	objects map[string]fakeObject
	writes  int
	broken  func(r *http.Request, wrote bool) bool // answers 503 after, or instead of, doing
	seen    []string
}

type fakeObject struct {
	data    []byte
	version string
	mark    string
}

func (f *fake) write(key string, data []byte, mark string) fakeObject {
	f.writes++
	o := fakeObject{data, strconv.Itoa(1000 + f.writes), mark}
	f.objects[key] = o
	return o
}

func (f *fake) list(prefix, delimiter, after string, limit int) (keys, prefixes []string, next string) {
	for _, k := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(k, prefix) || k <= after {
			continue
		}
		if len(keys) == limit {
			return keys, prefixes, keys[limit-1]
		}
		if i := strings.Index(k[len(prefix):], delimiter); delimiter != "" && i >= 0 {
			if dir := k[:len(prefix)+i+1]; !slices.Contains(prefixes, dir) {
				prefixes = append(prefixes, dir)
			}
			continue
		}
		keys = append(keys, k)
	}
	return keys, prefixes, ""
}

func part(data []byte, header string) ([]byte, int) {
	var from, to int
	if n, _ := fmt.Sscanf(header, "bytes=%d-%d", &from, &to); n != 2 {
		return data, http.StatusOK
	}
	return data[from:min(to+1, len(data))], http.StatusPartialContent
}

func (f *fake) serve(handle func(w http.ResponseWriter, r *http.Request)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.seen = append(f.seen, r.Method+" "+r.URL.Path)
		if f.broken != nil && f.broken(r, false) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		answer := httptest.NewRecorder()
		handle(answer, r)
		if f.broken != nil && f.broken(r, true) {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	f.t.Cleanup(s.Close)
	return s.URL
}

func (f *fake) gcs(w http.ResponseWriter, r *http.Request) {
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	fail := func(status int, message string) {
		say(status, map[string]any{"error": map[string]any{"code": status, "message": message}})
	}
	describe := func(key string, o fakeObject) map[string]any {
		return map[string]any{
			"name": key, "size": strconv.Itoa(len(o.data)), "generation": o.version, "updated": time.Now().UTC().Format(time.RFC3339Nano),
			"metadata": map[string]string{"shoalmark": o.mark},
		}
	}
	q, path := r.URL.Query(), r.URL.EscapedPath()
	_, rest, ok := strings.Cut(path, "/storage/v1/b/")
	bucket, rest, _ := strings.Cut(rest, "/o")
	key, err := url.PathUnescape(strings.TrimPrefix(rest, "/"))
	if !ok || err != nil {
		fail(http.StatusBadRequest, "path "+path)
		return
	}
	if bucket != "lake" {
		fail(http.StatusNotFound, "The specified bucket does not exist.")
		return
	}
	if r.Method == http.MethodPost {
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || !strings.HasPrefix(path, "/upload/") || q.Get("uploadType") != "multipart" {
			fail(http.StatusBadRequest, fmt.Sprintf("upload to %s?%s: %v", path, r.URL.RawQuery, err))
			return
		}
		parts := multipart.NewReader(r.Body, params["boundary"])
		var meta struct {
			Name     string
			Metadata map[string]string
		}
		var data []byte
		first, err := parts.NextPart()
		if err == nil {
			err = json.NewDecoder(first).Decode(&meta)
		}
		if second, nextErr := parts.NextPart(); nextErr == nil {
			data, nextErr = io.ReadAll(second)
			err = errors.Join(err, nextErr)
		}
		if err != nil {
			fail(http.StatusBadRequest, err.Error())
			return
		}
		there, exists := f.objects[meta.Name]
		if want := q.Get("ifGenerationMatch"); want == "" || want == "0" && exists || want != "0" && there.version != want {
			fail(http.StatusPreconditionFailed, "At least one of the pre-conditions you specified did not hold.")
			return
		}
		say(http.StatusOK, describe(meta.Name, f.write(meta.Name, data, meta.Metadata["shoalmark"])))
		return
	}
	if key == "" {
		keys, prefixes, next := f.list(q.Get("prefix"), q.Get("delimiter"), q.Get("pageToken"), 3)
		items := []any{}
		for _, k := range keys {
			items = append(items, describe(k, f.objects[k]))
		}
		say(http.StatusOK, map[string]any{"items": items, "prefixes": prefixes, "nextPageToken": next})
		return
	}
	o, ok := f.objects[key]
	if want := q.Get("generation"); !ok || want != "" && want != o.version {
		fail(http.StatusNotFound, "No such object: lake/"+key)
		return
	}
	switch {
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case q.Get("alt") == "media":
		data, status := part(o.data, r.Header.Get("Range"))
		w.WriteHeader(status)
		_, _ = w.Write(data)
	default:
		say(http.StatusOK, describe(key, o))
	}
}

func (f *fake) azure(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code string) {
		w.Header().Set("x-ms-error-code", code)
		w.WriteHeader(status)
		if r.Method != http.MethodHead {
			fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code)
		}
	}
	q := r.URL.Query()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "SharedKey account:") && q.Get("sig") == "" {
		fail(http.StatusForbidden, "AuthenticationFailed")
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/account/"), "/")
	if name != "lake" {
		fail(http.StatusNotFound, "ContainerNotFound")
		return
	}
	if q.Get("comp") == "list" {
		type properties struct {
			Length int    `xml:"Content-Length"`
			Tag    string `xml:"Etag"`
			At     string `xml:"Last-Modified"`
		}
		type blob struct {
			Name       string
			Properties properties
		}
		type prefix struct{ Name string }
		var page struct {
			XMLName xml.Name `xml:"EnumerationResults"`
			Blobs   struct {
				Blob       []blob
				BlobPrefix []prefix
			}
			NextMarker string
		}
		keys, prefixes, next := f.list(q.Get("prefix"), q.Get("delimiter"), q.Get("marker"), 3)
		for _, k := range keys {
			page.Blobs.Blob = append(page.Blobs.Blob, blob{k, properties{len(f.objects[k].data), f.objects[k].version, time.Now().UTC().Format(http.TimeFormat)}})
		}
		for _, p := range prefixes {
			page.Blobs.BlobPrefix = append(page.Blobs.BlobPrefix, prefix{p})
		}
		page.NextMarker = next
		w.Header().Set("Content-Type", "application/xml")
		_ = xml.NewEncoder(w).Encode(page)
		return
	}
	o, exists := f.objects[key]
	if r.Method == http.MethodPut {
		want, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		data, err := io.ReadAll(r.Body)
		switch {
		case err != nil || r.Header.Get("x-ms-blob-type") != "BlockBlob" || want == "" && none != "*":
			fail(http.StatusBadRequest, "InvalidHeaderValue")
		case none == "*" && exists:
			fail(http.StatusConflict, "BlobAlreadyExists")
		case want != "" && o.version != want:
			fail(http.StatusPreconditionFailed, "ConditionNotMet")
		default:
			w.Header().Set("ETag", f.write(key, data, r.Header.Get("x-ms-meta-shoalmark")).version)
			w.WriteHeader(http.StatusCreated)
		}
		return
	}
	want := r.Header.Get("If-Match")
	switch {
	case !exists:
		fail(http.StatusNotFound, "BlobNotFound")
	case want != "" && want != o.version:
		fail(http.StatusPreconditionFailed, "ConditionNotMet")
	case r.Method == http.MethodDelete:
		delete(f.objects, key)
		w.WriteHeader(http.StatusAccepted)
	default:
		data, status := part(o.data, r.Header.Get("x-ms-range"))
		for k, v := range map[string]string{
			"ETag": o.version, "Last-Modified": time.Now().UTC().Format(http.TimeFormat), "Content-Length": strconv.Itoa(len(data)), "x-ms-meta-Shoalmark": o.mark,
		} {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		if r.Method == http.MethodGet {
			_, _ = w.Write(data)
		}
	}
}

const azureKey = "cGxhbnRlZCBhenVyZSBrZXkgcGxhbnRlZCBhenVyZSBrZXk="

func startGCS(t *testing.T) *fake {
	f := &fake{t: t, objects: map[string]fakeObject{}}
	t.Setenv("STORAGE_EMULATOR_HOST", f.serve(f.gcs))
	return f
}

func startAzure(t *testing.T) *fake {
	f := &fake{t: t, objects: map[string]fakeObject{}}
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "")
	t.Setenv("AZURE_STORAGE_ACCOUNT", "account")
	t.Setenv("AZURE_STORAGE_KEY", azureKey)
	t.Setenv("AZURE_STORAGE_BLOB_ENDPOINT", f.serve(f.azure)+"/account")
	return f
}

func TestGCS(t *testing.T) {
	startGCS(t)
	storagetest.Run(t, cloud.New(s3server.Quick()), "gs://lake/tree")
}

func TestAzure(t *testing.T) {
	startAzure(t)
	storagetest.Run(t, cloud.New(s3server.Quick()), "az://lake/tree")
}

// Every third request fails, every second of those after it was carried out.
func TestOthersInBadWeather(t *testing.T) {
	for root, start := range map[string]func(*testing.T) *fake{"gs://lake/tree": startGCS, "az://lake/tree": startAzure} {
		t.Run(root[:2], func(t *testing.T) {
			f, n := start(t), 0
			f.broken = func(_ *http.Request, done bool) bool {
				if !done {
					n++
				}
				return n%6 == 0 && !done || n%6 == 3 && done
			}
			storagetest.Run(t, cloud.New(s3server.Quick()), root)
			if n < 200 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestOthersPermanent(t *testing.T) {
	for scheme, start := range map[string]func(*testing.T) *fake{"gs": startGCS, "az": startAzure} {
		t.Run(scheme, func(t *testing.T) {
			f := start(t)
			fsys := cloud.New(s3server.Quick())
			_, err := fsys.Glob(t.Context(), scheme+"://nowhere/*")
			if !errors.Is(err, storage.ErrPlace) {
				t.Errorf("a bucket that is not there: %v", err)
			}
			_, err = fsys.Stat(t.Context(), scheme+"://nowhere/x")
			if !errors.Is(err, storage.ErrPlace) {
				t.Errorf("a file in a bucket that is not there: %v", err)
			}
			if len(f.seen) > 4 {
				t.Errorf("repeated: %q", f.seen)
			}
		})
	}
}

// A shared access signature is part of every address that is asked; no error repeats it.
func TestAzureSignatureIsNotTold(t *testing.T) {
	const signature = "planted%2Fsignature%3D"
	f := startAzure(t)
	t.Setenv("AZURE_STORAGE_KEY", "")
	t.Setenv("AZURE_STORAGE_SAS_TOKEN", "sv=2024-01-01&sig="+signature)
	fsys := cloud.New(s3server.Quick())
	if err := storage.WriteFile(t.Context(), fsys, "az://lake/x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if len(f.seen) == 0 {
		t.Fatal("nothing was asked")
	}
	t.Setenv("AZURE_STORAGE_BLOB_ENDPOINT", "http://127.0.0.1:1/account") // nobody listens
	_, refused := cloud.New(s3server.Quick()).Stat(t.Context(), "az://lake/x")
	_, nowhere := fsys.Stat(t.Context(), "az://lake/y")
	for _, err := range []error{refused, nowhere} {
		if err == nil || strings.Contains(err.Error(), "sig") || strings.Contains(err.Error(), "planted") {
			t.Errorf("%v", err)
		}
	}
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=account;AccountKey="+base64.StdEncoding.EncodeToString([]byte("planted"))+"!;Bad")
	_, err := cloud.New(s3server.Quick()).Stat(t.Context(), "az://lake/x")
	if err == nil || strings.Contains(err.Error(), base64.StdEncoding.EncodeToString([]byte("planted"))) {
		t.Errorf("%v", err)
	}
}
