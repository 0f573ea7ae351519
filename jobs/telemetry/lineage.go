package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/shoal-data/shoal/jobs/gates"
	"github.com/shoal-data/shoal/jobs/nightly"
	"github.com/shoal-data/shoal/jobs/publish"
)

// The version of OpenLineage's specification that events are of.
const (
	producer = "https://github.com/shoal-data/shoal"
	schema   = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
	facets   = "https://openlineage.io/spec/facets/"
)

// An event is OpenLineage's RunEvent.
type event struct {
	Type     string    `json:"eventType"`
	Time     string    `json:"eventTime"`
	Run      lineRun   `json:"run"`
	Job      lineJob   `json:"job"`
	Inputs   []dataset `json:"inputs"`
	Outputs  []dataset `json:"outputs"`
	Producer string    `json:"producer"`
	Schema   string    `json:"schemaURL"`
}

type lineRun struct {
	ID     string         `json:"runId"`
	Facets map[string]any `json:"facets"`
}

type lineJob struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Facets    map[string]any `json:"facets"`
}

type dataset struct {
	Namespace string         `json:"namespace"`
	Name      string         `json:"name"`
	Facets    map[string]any `json:"facets,omitempty"`
	// Of an output: how much was written.
	OutputFacets map[string]any `json:"outputFacets,omitempty"`
}

// facet is one of OpenLineage's own.
func facet(name, version string, fields map[string]any) map[string]any {
	f := map[string]any{"_producer": producer, "_schemaURL": facets + version + "/" + name + ".json#/$defs/" + name}
	for k, v := range fields {
		f[k] = v
	}
	return f
}

// A night is what events of one run share.
type night struct {
	o     nightly.Options
	id    string
	began time.Time
}

func newNight(o nightly.Options, began time.Time) *night {
	id, err := uuid.NewV7()
	if err != nil { // there is no randomness
		id = uuid.UUID{}
	}
	return &night{o, id.String(), began}
}

func (n *night) event(kind string, at time.Time) *event {
	e := &event{
		Type: kind, Time: at.UTC().Format(time.RFC3339Nano), Producer: producer, Schema: schema, Inputs: []dataset{}, Outputs: []dataset{},
		Run: lineRun{n.id, map[string]any{}},
		Job: lineJob{"", n.o.Config.Monitoring.Job, map[string]any{
			"jobType": facet("JobTypeJobFacet", "2-0-3", map[string]any{"processingType": "BATCH", "integration": "SHOAL", "jobType": "JOB"}),
		}},
	}
	e.Run.Facets["processing_engine"] = facet("ProcessingEngineRunFacet", "1-1-1", map[string]any{"version": n.o.Version, "name": "shoal"})
	if date, err := time.Parse(time.DateOnly, n.o.Date); err == nil {
		e.Run.Facets["nominalTime"] = facet("NominalTimeRunFacet", "1-0-1", map[string]any{
			"nominalStartTime": date.Format(time.RFC3339), "nominalEndTime": date.AddDate(0, 0, 1).Format(time.RFC3339)})
	}
	for _, s := range n.o.Config.Sources {
		for _, p := range s.Path {
			e.Inputs = append(e.Inputs, place(p))
		}
	}
	return e
}

// place names what lies at a path as OpenLineage does: the bucket, or file, is the
// namespace.
func place(path string) dataset {
	if u, err := url.Parse(path); err == nil && u.Scheme != "" && u.Host != "" {
		return dataset{Namespace: u.Scheme + "://" + u.Host, Name: strings.TrimPrefix(u.Path, "/")}
	}
	return dataset{Namespace: "file", Name: filepath.ToSlash(path)}
}

func (n *night) started() *event { return n.event("START", n.began) }

func (n *night) finished(s *nightly.Summary, at time.Time, err error) *event {
	kind := "COMPLETE"
	switch {
	case s.ExitCode == nightly.ExitTerminated:
		kind = "ABORT"
	case err != nil:
		kind = "FAIL"
	}
	e := n.event(kind, at)
	if err != nil {
		e.Run.Facets["errorMessage"] = facet("ErrorMessageRunFacet", "1-0-1", map[string]any{"message": err.Error(), "programmingLanguage": "GO"})
	}
	e.Run.Facets["shoal"] = map[string]any{
		"_producer": producer, "_schemaURL": producer + "/blob/main/docs/monitoring.md",
		"date": s.Date, "status": s.Status, "exitCode": s.ExitCode, "runId": s.RunID, "manifest": s.Manifest,
	}
	if i := s.Input; i.RowsRead > 0 && len(e.Inputs) > 0 {
		var asserted []map[string]any
		for _, v := range s.Gates {
			asserted = append(asserted, map[string]any{"assertion": v.Gate, "success": v.Status != gates.Fail, "severity": map[bool]string{true: "error", false: "warn"}[v.Status == gates.Fail]})
		}
		e.Inputs[0].Facets = map[string]any{}
		if asserted != nil {
			e.Inputs[0].Facets["dataQualityAssertions"] = facet("DataQualityAssertionsDatasetFacet", "1-0-2", map[string]any{"assertions": asserted})
		}
	}
	if s.Status != nightly.StatusPublished {
		return e
	}
	var names []string
	for table := range s.Tables {
		names = append(names, table)
	}
	slices.Sort(names)
	for _, table := range names {
		d := place(publish.Join(n.o.Config.Out, table))
		d.OutputFacets = map[string]any{"outputStatistics": facet("OutputStatisticsOutputDatasetFacet", "1-0-2", map[string]any{"rowCount": s.Tables[table]})}
		e.Outputs = append(e.Outputs, d)
	}
	return e
}

// A lineage sends events.
type lineage func(context.Context, *event) error

// newLineage goes by the variables of OpenLineage's clients; nil sends nothing.
func newLineage(lookup func(string) string, client *http.Client) (lineage, error) {
	get := func(names ...string) string {
		for _, n := range names {
			if v := lookup(n); v != "" {
				return v
			}
		}
		return ""
	}
	if d := strings.ToLower(lookup("OPENLINEAGE_DISABLED")); d == "true" || d == "1" {
		return nil, nil
	}
	base, kind := get("OPENLINEAGE__TRANSPORT__URL", "OPENLINEAGE_URL"), strings.ToLower(lookup("OPENLINEAGE__TRANSPORT__TYPE"))
	if kind == "" && base != "" {
		kind = "http"
	}
	namespace := get("OPENLINEAGE_NAMESPACE")
	if namespace == "" {
		namespace = "default"
	}
	var write func(context.Context, []byte) error
	switch kind {
	case "", "noop":
		return nil, nil
	case "file":
		file := lookup("OPENLINEAGE__TRANSPORT__LOG_FILE_PATH")
		if file == "" {
			return nil, errors.New("OPENLINEAGE__TRANSPORT__TYPE is file; set OPENLINEAGE__TRANSPORT__LOG_FILE_PATH to the file that events are appended to")
		}
		write = func(_ context.Context, data []byte) error { return appendTo(file, data) }
	case "http":
		endpoint := get("OPENLINEAGE__TRANSPORT__ENDPOINT", "OPENLINEAGE_ENDPOINT")
		if endpoint == "" {
			endpoint = "api/v1/lineage"
		}
		u, err := url.Parse(base)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, errors.New("OPENLINEAGE_URL must be a URL that begins with http:// or https://")
		}
		to := strings.TrimSuffix(base, "/") + "/" + strings.TrimPrefix(endpoint, "/")
		key := get("OPENLINEAGE_API_KEY", "OPENLINEAGE__TRANSPORT__AUTH__API_KEY", "OPENLINEAGE__TRANSPORT__AUTH__APIKEY")
		write = func(ctx context.Context, data []byte) error { return post(ctx, client, to, key, data) }
	default:
		return nil, fmt.Errorf("OPENLINEAGE__TRANSPORT__TYPE %q is not one of http, file and noop", kind)
	}
	return func(ctx context.Context, e *event) error {
		e.Job.Namespace = namespace
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return write(ctx, data)
	}, nil
}

func appendTo(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Close())
}

func post(ctx context.Context, client *http.Client, to, key string, data []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(data))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
		return fmt.Errorf("%s answers %s: %q", req.URL.Host, resp.Status, said)
	}
	return nil
}
