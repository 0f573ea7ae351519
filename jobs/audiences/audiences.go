// Package audiences writes files of whom to address: customers whose row of
// customer_scores meets conditions, as CSV, with contact keys that are hashed the
// way activation platforms match them.
package audiences

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/outputs"
	"github.com/shoal-data/shoal/models"
)

// partSize is the size at which a file is continued in another, in bytes.
const partSize = 64 << 20

// Input is what files are made from.
type Input struct {
	Audiences []config.Audience
	Scores    outputs.Table // customer_scores, whose first column is customer_id
	// Contacts reads how those are reached whom want names, in order.
	Contacts func(ctx context.Context, want func(id string) bool) ([]scan.Contact, error)
	// Write takes the next part of a file: its name, its bytes, and its rows without the header.
	Write func(name string, data []byte, rows int64) error
}

// A Result is what became of one audience.
type Result struct {
	Name      string `json:"name"`
	Customers int    `json:"customers"`             // who meet the conditions
	Left      int    `json:"unreachable,omitempty"` // of these, without a contact key, and so left out
	Rows      int64  `json:"rows"`                  // of the file; a customer with two addresses has two
}

// Check reports conditions and columns that a table of this schema does not have.
func Check(audiences []config.Audience, schema *arrow.Schema) error {
	for i := range audiences {
		if _, err := open(&audiences[i], schema); err != nil {
			return err
		}
	}
	return nil
}

// Build writes the files.
func Build(ctx context.Context, in Input) ([]Result, []models.Warning, error) {
	var all []*audience
	hashes := false
	for i := range in.Audiences {
		a, err := open(&in.Audiences[i], in.Scores.Schema)
		if err != nil {
			return nil, nil, err
		}
		a.put = in.Write
		hashes = hashes || len(a.Hashed) > 0
		all = append(all, a)
	}
	if len(all) == 0 {
		return nil, nil, nil
	}
	var reach map[string][]scan.Contact
	if hashes {
		var err error
		if reach, err = contacts(ctx, in, all); err != nil {
			return nil, nil, err
		}
	}
	err := in.Scores.Records(func(rec arrow.Record) error {
		for _, a := range all {
			if err := a.take(rec, reach); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, nil, err
	}
	var results []Result
	var warnings []models.Warning
	for _, a := range all {
		if err := a.end(); err != nil {
			return nil, nil, err
		}
		results = append(results, a.result)
		if a.result.Left > 0 {
			warnings = append(warnings, models.Warning{Code: "audience.unreachable", Message: fmt.Sprintf(
				"audience %s: %d of %d customers are left out, for contacts have no usable %s of theirs", a.Name, a.result.Left, a.result.Customers, strings.Join(a.Hashed, " or "))})
		}
		if a.disarmed > 0 {
			warnings = append(warnings, models.Warning{Code: "audience.disarmed", Message: fmt.Sprintf(
				"audience %s: %d texts would be formulas in a spreadsheet, and have an apostrophe before them in the file", a.Name, a.disarmed)})
		}
	}
	return results, warnings, nil
}

// contacts reads how the customers of audiences with hashed keys are reached.
func contacts(ctx context.Context, in Input, all []*audience) (map[string][]scan.Contact, error) {
	reach := map[string][]scan.Contact{}
	err := in.Scores.Records(func(rec arrow.Record) error {
		for _, a := range all {
			if len(a.Hashed) == 0 {
				continue
			}
			met := a.meets(rec)
			for i := range int(rec.NumRows()) {
				if met(i) {
					reach[idText(rec, i)] = nil
				}
			}
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	found, err := in.Contacts(ctx, func(id string) bool { _, ok := reach[id]; return ok })
	if err != nil {
		return nil, err
	}
	for _, c := range found {
		reach[c.Customer] = append(reach[c.Customer], c)
	}
	return reach, nil
}

// An audience is one whose file is being written.
type audience struct {
	*config.Audience
	tests   []test
	columns []int // of the table
	result  Result

	put      func(name string, data []byte, rows int64) error
	buffer   bytes.Buffer
	csv      *csv.Writer
	rows     int64 // in buffer
	part     int   // of those put
	disarmed int
}

// open finds the columns.
func open(c *config.Audience, schema *arrow.Schema) (*audience, error) {
	a := &audience{Audience: c, result: Result{Name: c.Name}}
	a.csv = csv.NewWriter(&a.buffer)
	find := func(key, name string) (int, error) {
		at := schema.FieldIndices(name)
		if len(at) == 0 {
			return 0, fmt.Errorf("audiences[%s].%s: customer_scores has no column %q", c.Name, key, name)
		}
		return at[0], nil
	}
	for _, text := range c.Where {
		t, err := newTest(string(text), find, schema)
		if err != nil {
			return nil, fmt.Errorf("audiences[%s].where: %w", c.Name, err)
		}
		a.tests = append(a.tests, t)
	}
	names := c.Columns
	if len(names) == 0 && len(c.Hashed) == 0 {
		names = []string{schema.Field(0).Name}
	}
	var header []string
	for _, h := range c.Hashed {
		header = append(header, h+"_sha256")
	}
	for _, n := range names {
		at, err := find("columns", n)
		if err != nil {
			return nil, err
		}
		a.columns = append(a.columns, at)
	}
	return a, a.csv.Write(append(header, names...))
}

// meets says which rows of a record meet the conditions.
func (a *audience) meets(rec arrow.Record) func(i int) bool {
	tests := make([]func(int) bool, len(a.tests))
	for k, t := range a.tests {
		tests[k] = t(rec)
	}
	return func(i int) bool {
		for _, met := range tests {
			if !met(i) {
				return false
			}
		}
		return true
	}
}

func (a *audience) take(rec arrow.Record, reach map[string][]scan.Contact) error {
	met := a.meets(rec)
	for i := range int(rec.NumRows()) {
		if !met(i) {
			continue
		}
		a.result.Customers++
		var cells []string
		for _, j := range a.columns {
			cells = append(cells, a.cell(rec, j, i))
		}
		if len(a.Hashed) == 0 {
			if err := a.write(cells); err != nil {
				return err
			}
			continue
		}
		keys := a.keys(reach[idText(rec, i)])
		if len(keys) == 0 {
			a.result.Left++
		}
		for _, k := range keys {
			if err := a.write(append(slices.Clone(k), cells...)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *audience) write(cells []string) error {
	if err := a.csv.Write(cells); err != nil {
		return err
	}
	a.rows++
	a.result.Rows++
	if a.rows%1024 == 0 { // what the writer holds back is little
		a.csv.Flush()
	}
	if a.buffer.Len() < partSize {
		return nil
	}
	header, _, _ := bytes.Cut(bytes.Clone(a.buffer.Bytes()), []byte("\n"))
	if err := a.end(); err != nil {
		return err
	}
	a.buffer.Write(header)
	a.buffer.WriteByte('\n')
	return nil
}

// end writes what there is as the next part.
func (a *audience) end() error {
	a.csv.Flush()
	if err := a.csv.Error(); err != nil {
		return err
	}
	if a.part > 0 && a.rows == 0 {
		return nil
	}
	a.part++
	name := a.Name + ".csv"
	if a.part > 1 {
		name = fmt.Sprintf("%s-%05d.csv", a.Name, a.part)
	}
	err := a.put(name, a.buffer.Bytes(), a.rows)
	a.buffer.Reset()
	a.rows = 0
	return err
}

// cell is a value as text. Text that a spreadsheet would take for a formula is
// disarmed; numbers are no text.
func (a *audience) cell(rec arrow.Record, j, i int) string {
	col := rec.Column(j)
	if col.IsNull(i) {
		return ""
	}
	if s, ok := col.(*array.String); ok {
		safe := disarm(s.Value(i))
		if safe != s.Value(i) {
			a.disarmed++
		}
		return safe
	}
	if j == 0 {
		return idText(rec, i)
	}
	return valueText(col, i)
}

// disarm puts an apostrophe before what begins like a formula, or with what a
// spreadsheet drops before it looks.
func disarm(s string) string {
	trimmed := strings.TrimLeft(s, " \t\r\n\u00a0")
	if trimmed == "" {
		return s
	}
	if strings.ContainsRune("=+-@＝＋－＠", []rune(trimmed)[0]) || strings.ContainsRune("\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

// idText is the id of customer i as people write it.
func idText(rec arrow.Record, i int) string {
	if a, ok := rec.Column(0).(*array.FixedSizeBinary); ok {
		id := a.Value(i)
		if uuid, _ := rec.Schema().Field(0).Metadata.GetValue("uuid"); uuid == "true" { // features.CustomerField
			return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
		}
		return fmt.Sprintf("%x", id)
	}
	return rec.Column(0).ValueStr(i)
}
