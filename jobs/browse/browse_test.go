package browse

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/nightly"
)

func TestBrowse(t *testing.T) {
	p := synth.DefaultParams()
	p.Customers = 300
	dir := filepath.Join(t.TempDir(), "sample")
	if _, err := synth.Generate(t.Context(), p, dir, nil); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("generated", []byte(synth.Config(dir, filepath.Join(dir, "out"))+"features: {families: [recency, frequency, money]}\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, date := range []string{"2025-03-24", "2025-03-31"} {
		s, err := nightly.Run(t.Context(), nightly.Options{Config: c, Date: date, FS: storage.Local(), Version: "test", Log: zerolog.Nop(), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, date+" "+s.RunID)
	}
	o := Options{Out: c.Out, FS: storage.Local(), Now: time.Now, Config: c}
	get := func(h http.Handler, host, path string) (int, string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	h := Handler(o, false)
	date, id, _ := strings.Cut(names[1], " ")
	for _, want := range []struct {
		path   string
		status int
		says   []string
	}{
		{"/", 200, []string{id, "2025-03-24", "Look up", "Compare"}},
		{link("/run", "id", id, "date", date), 200, []string{"Shoal report", "How good the models are"}},
		{link("/compare", "left", names[0], "right", names[1]), 200, []string{"What came in · 2025-03-24", "What came in · 2025-03-31", " beside "}},
		{link("/customer", "id", "C000000002", "run", names[1]), 200, []string{"Customer C000000002", "churn_reason_1", "days_since_last_event", "Timeline", " events, the last first."}},
		{link("/customer", "id", `<script>x</script>`, "run", names[1]), 404, []string{"has no customer", "&lt;script&gt;x"}},
		{link("/run", "id", "../../etc", "date", "passwd"), 404, []string{"there is no run"}},
		{"/elsewhere", 404, nil},
	} {
		status, page := get(h, "127.0.0.1:8765", want.path)
		if status != want.status {
			t.Errorf("%s: status %d, want %d\n%.600s", want.path, status, want.status, page)
		}
		for _, s := range want.says {
			if !strings.Contains(page, s) {
				t.Errorf("%s does not say %q", want.path, s)
			}
		}
		if strings.Contains(page, "<script>x") {
			t.Errorf("%s: an id became markup", want.path)
		}
	}
	// Every id of a page of two runs is there once.
	_, page := get(h, "localhost", link("/compare", "left", names[0], "right", names[1]))
	seen := map[string]bool{}
	for _, part := range strings.Split(page, ` id="`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		if seen[id] {
			t.Errorf("the id %q is there twice", id)
		}
		seen[id] = true
	}
	// Other hosts' names are refused, so that no page elsewhere can read through the reader's browser.
	for host, status := range map[string]int{"localhost:1": 200, "[::1]:1": 200, "127.9.9.9": 200, "evil.example": 403, "127.0.0.1.evil.example": 403, "": 403} {
		if got, _ := get(h, host, "/"); got != status {
			t.Errorf("host %q: status %d, want %d", host, got, status)
		}
	}
	if got, _ := get(Handler(o, true), "reports.example", "/"); got != 200 {
		t.Errorf("opened to others: status %d", got)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(url.Values{}.Encode()))
	r.Host = "localhost"
	if h.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d", w.Code)
	}
}
