// Package browse shows the runs that lie under a directory to a browser on the same
// machine: their reports, two of them side by side, and single customers. It reads, and
// writes nothing.
package browse

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/explain"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/jobs/report"
	"github.com/shoal-data/shoal/jobs/report/query"
	"github.com/shoal-data/shoal/jobs/runs"
)

// Options say what is shown.
type Options struct {
	Out string
	FS  storage.FS
	Now func() time.Time
	// Config, which may be nil, is that of the job: with it a customer's events are
	// shown too.
	Config *config.Config
}

// Handler answers a browser's requests. Those that name another host than a loopback
// one are refused unless open is true: a page elsewhere that knows the port must not
// read customers through the reader's browser.
func Handler(o Options, open bool) http.Handler {
	s := &server{Options: o, busy: make(chan struct{}, 2)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page(s.home))
	mux.HandleFunc("GET /run", s.page(s.run))
	mux.HandleFunc("GET /compare", s.page(s.compare))
	mux.HandleFunc("GET /customer", s.page(s.customer))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !open && !loopback(r.Host) {
			http.Error(w, "this server answers to localhost only", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// loopback says whether a host, with or without a port, is this machine.
func loopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// Loopback says whether an address to listen on is reached from this machine alone.
func Loopback(address string) bool { return loopback(address) }

type server struct {
	Options
	busy chan struct{} // pages are made two at a time: each reads whole tables
}

// notFound is what the reader asked for and is not there.
type notFound struct{ error }

func (s *server) page(make func(context.Context, url.Values) ([]byte, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.busy <- struct{}{}:
			defer func() { <-s.busy }()
		case <-r.Context().Done():
			return
		}
		data, err := make(r.Context(), r.URL.Query())
		status := http.StatusOK
		if err != nil {
			status = http.StatusInternalServerError
			var missing notFound
			if errors.As(err, &missing) || errors.Is(err, fs.ErrNotExist) {
				status = http.StatusNotFound
			}
			p := report.Plain{Title: "Shoal", Note: err.Error(), Links: []report.Link{home}}
			if data, err = p.HTML(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_, _ = w.Write(data) // the reader has gone, then
	}
}

var home = report.Link{Text: "All runs", To: "/"}

func link(path string, values ...string) string {
	q := url.Values{}
	for i := 0; i < len(values); i += 2 {
		q.Set(values[i], values[i+1])
	}
	return path + "?" + q.Encode()
}

// home lists the runs.
func (s *server) home(ctx context.Context, _ url.Values) ([]byte, error) {
	l, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	p := &report.Plain{Title: "Shoal runs"}
	table := report.Listing{Title: "Runs under " + l.Out, Columns: []string{"Date", "Run", "State", "Finished", "Rows", "Version", "What is wrong"}}
	var whole []string
	for _, r := range slices.Backward(l.Runs) {
		entry := report.Entry{Text: r.ID}
		if r.State != runs.Unfinished && r.Fault == "" {
			entry.To = link("/run", "id", r.ID, "date", r.Date)
			whole = append(whole, r.Date+" "+r.ID)
		}
		finished := ""
		if !r.Finished.IsZero() {
			finished = r.Finished.UTC().Format("2006-01-02 15:04 UTC")
		}
		table.Rows = append(table.Rows, []report.Entry{{Text: r.Date}, entry, {Text: r.State}, {Text: finished}, {Text: strconv.FormatInt(r.Rows, 10)}, {Text: r.Version}, {Text: r.Fault}})
	}
	if len(whole) == 0 {
		p.Note = "No run is published here yet."
	} else {
		before := whole[min(1, len(whole)-1)]
		p.Ask = []report.Question{
			{Action: "/compare", Submit: "Compare", Fields: []report.Field{{Name: "left", Label: "Compare", Choices: whole, Value: before}, {Name: "right", Label: "with", Choices: whole, Value: whole[0]}}},
			{Action: "/customer", Submit: "Look up", Fields: []report.Field{{Name: "id", Label: "Customer"}, {Name: "run", Label: "in", Choices: whole, Value: whole[0]}}},
		}
	}
	p.Listings = []report.Listing{table}
	return p.HTML()
}

func (s *server) list(ctx context.Context) (*runs.Listing, error) {
	return runs.List(ctx, s.FS, s.Out, s.Now())
}

// open finds a run by "date id", with the run before it.
func (s *server) open(ctx context.Context, name string) (*report.Run, error) {
	date, id, _ := strings.Cut(name, " ")
	l, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range l.Runs {
		if r.Date == date && r.ID == id && r.State != runs.Unfinished {
			return Open(ctx, s.FS, l, r)
		}
	}
	return nil, notFound{fmt.Errorf("there is no run %q of %q here", id, date)}
}

// Open opens a run for its report, with the run before it where that is still there.
func Open(ctx context.Context, fsys storage.FS, l *runs.Listing, r runs.Run) (*report.Run, error) {
	m, err := publish.ReadManifest(ctx, fsys, l.Out, r.Date, r.ID)
	if err != nil {
		return nil, err
	}
	run := report.Published(fsys, l.Out, m)
	var last *runs.Run
	for i, o := range l.Runs {
		if o.State == runs.Current && o.Fault == "" && o.Date < r.Date && (last == nil || o.Date > last.Date) {
			last = &l.Runs[i]
		}
	}
	if last == nil {
		return run, nil
	}
	before, err := publish.ReadManifest(ctx, fsys, l.Out, last.Date, last.ID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, publish.ErrDamaged) {
		return run, nil // the report says that there is none
	}
	if err != nil {
		return nil, err
	}
	run.Before = report.Published(fsys, l.Out, before)
	return run, nil
}

func (s *server) run(ctx context.Context, q url.Values) ([]byte, error) {
	r, err := s.open(ctx, q.Get("date")+" "+q.Get("id"))
	if err != nil {
		return nil, err
	}
	return report.Render(ctx, r)
}

func (s *server) compare(ctx context.Context, q url.Values) ([]byte, error) {
	left, err := s.open(ctx, q.Get("left"))
	if err != nil {
		return nil, err
	}
	right, err := s.open(ctx, q.Get("right"))
	if err != nil {
		return nil, err
	}
	return report.Compare(ctx, left, right)
}

// customer is everything that a run says of one customer.
func (s *server) customer(ctx context.Context, q url.Values) ([]byte, error) {
	run, id := q.Get("run"), q.Get("id")
	r, err := s.open(ctx, run)
	if err != nil {
		return nil, err
	}
	p := &report.Plain{
		Title: "Customer " + id, Links: []report.Link{home, {Text: "Report of " + r.Manifest.Date, To: link("/run", "id", r.Manifest.RunID, "date", r.Manifest.Date)}},
		Note: "At the end of " + r.Manifest.Date + ", by run " + r.Manifest.RunID + ".",
	}
	found := false
	for _, t := range []struct{ table, title string }{{"customer_scores", "Segments and scores"}, {"features", "Features"}} {
		listing, err := s.row(ctx, r, t.table, t.title, id)
		if err != nil {
			return nil, err
		}
		if listing != nil {
			found = true
			p.Listings = append(p.Listings, *listing)
		}
	}
	if !found {
		return nil, notFound{fmt.Errorf("run %s of %s has no customer %q", r.Manifest.RunID, r.Manifest.Date, id)}
	}
	events := s.events(ctx, r.Manifest.Date, id)
	p.Listings = slices.Insert(p.Listings, min(1, len(p.Listings)), events)
	return p.HTML()
}

// row is a customer's row of a table, a line a column; nil when there is none.
func (s *server) row(ctx context.Context, r *report.Run, table, title, id string) (*report.Listing, error) {
	t := r.Manifest.Table(table)
	if t == nil {
		return nil, nil
	}
	same := query.Eq(query.Col("customer_id"), query.S(id))
	if len(t.Columns) > 0 && t.Columns[0].Type != "string" {
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return nil, nil // ids are numbers here
		}
		same = query.Eq(query.Col("customer_id"), query.N(float64(n)))
	}
	// First the row, so that only its columns are read when there is none.
	there, err := query.From(table).Where(same).Get("n", query.Count()).Run(ctx, r)
	if err != nil || there.F(0, "n") == 0 {
		return nil, err
	}
	ask := query.From(table).Where(same)
	for _, c := range t.Columns {
		ask.Columns(c.Name)
	}
	row, err := ask.Limit(1).Run(ctx, r)
	if err != nil {
		return nil, err
	}
	l := &report.Listing{Title: title, Columns: []string{"Column", "Value", "Unit", "Meaning"}}
	for i, c := range t.Columns {
		v := row.Rows[0][i]
		if v.IsNull() || c.Name == "as_of" || c.Name == "run_id" {
			continue
		}
		l.Rows = append(l.Rows, []report.Entry{{Text: c.Name}, {Text: v.String()}, {Text: c.Unit}, {Text: c.Meaning}})
	}
	return l, nil
}

// mostEvents of a customer are listed: the last ones.
const mostEvents = 500

// events are the customer's timeline, where the configuration is at hand.
func (s *server) events(ctx context.Context, date, id string) report.Listing {
	l := report.Listing{Title: "Timeline", Columns: []string{"Local time", "Role", "Type", "Amount", "Quantity", "Product", "Category", "Channel", "Campaign"}}
	if s.Config == nil {
		l.Note = "The events are not at hand: start with --config to see them."
		return l
	}
	e, err := explain.Explain(ctx, explain.Options{Config: s.Config, Customer: id, Date: date, FS: s.FS, Workers: s.Config.Limits.Workers.Count()})
	if err != nil {
		l.Note = "The events could not be read: " + err.Error()
		return l
	}
	l.Note = fmt.Sprintf("%d events, the last first.", len(e.Events))
	if len(e.Events) > mostEvents {
		l.Note = fmt.Sprintf("The last %d of %d events, the last first.", mostEvents, len(e.Events))
	}
	for i, v := range slices.Backward(e.Events) {
		if len(e.Events)-i > mostEvents {
			break
		}
		l.Rows = append(l.Rows, []report.Entry{{Text: v.Local}, {Text: v.Role}, {Text: v.Type}, {Text: v.Amount}, {Text: v.Quantity}, {Text: v.Product}, {Text: v.Category}, {Text: v.Channel}, {Text: v.Campaign}})
	}
	return l
}
