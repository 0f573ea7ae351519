package warehouse

import (
	"fmt"
	"strings"
)

var clickhouse = dialect{
	reads: []string{"s3://", "gs://", "https://", "http://", "/"}, hint: "s3://, gs:// and https:// of a bucket, or its own files",
	globs: "*?{}",
	ident: escaped("`"), text: escaped("'"),
	types: map[string]string{
		"float64": "Nullable(Float64)", "int64": "Nullable(Int64)", "int32": "Nullable(Int32)", "bool": "Nullable(Bool)", "string": "Nullable(String)",
		"date": "Nullable(Date32)", "timestamp": "Nullable(DateTime64(6, 'UTC'))", "decimal(18,4)": "Nullable(Decimal(18, 4))", "uuid": "Nullable(FixedString(16))", "binary": "Nullable(String)",
	},
	howTo: "clickhouse-client --queries-file this file; it stops at the first fault. Each table changes at once, one after the other",
	write: func(s *script) {
		for _, t := range s.tables {
			order := "tuple()"
			if len(t.Columns) > 0 && t.Columns[0].Name == "customer_id" {
				order = s.ident("customer_id")
			}
			date := "  " + s.ident(dateColumn) + " Date,"
			columns := strings.Replace(s.defined(t, false), "(\n", "(\n"+date+"\n", 1)
			s.add(t.Name, "CREATE TABLE IF NOT EXISTS %s %s\nENGINE = MergeTree PARTITION BY %s ORDER BY %s SETTINGS allow_nullable_key = 1", t.target, columns, s.ident(dateColumn), order)
			s.add("", "ALTER TABLE %s\n%s", t.target, s.added(t))
			if t.Rows == 0 { // it refuses to replace a partition by nothing
				s.add("", "ALTER TABLE %s DROP PARTITION %s", t.target, s.text(s.m.Date))
				continue
			}
			s.add("", "DROP TABLE IF EXISTS %s SYNC", t.staging)
			s.add("", "CREATE TABLE %s AS %s", t.staging, t.target)
			for _, f := range t.filled() {
				s.add("", "INSERT INTO %s (%s, %s)\nSELECT toDate(%s), %s\nFROM %s", t.staging, s.ident(dateColumn), s.names(t, ""), s.text(s.m.Date), s.names(t, ""), s.clickhouseFile(t, s.file(f)))
			}
			s.add("", "SELECT throwIf(count() != %d, %s) FROM %s", t.Rows, s.text(s.incomplete(t)), t.staging)
			s.add("", "ALTER TABLE %s REPLACE PARTITION %s FROM %s", t.target, s.text(s.m.Date), t.staging)
			s.add("", "DROP TABLE %s SYNC", t.staging)
		}
	},
}

// clickhouseFile is a file as a table, with the types that were written: inferred
// ones depend on settings.
func (s *script) clickhouseFile(t *table, file string) string {
	var columns []string
	for _, c := range t.Columns {
		columns = append(columns, s.ident(c.Name)+" "+s.typeOf(c))
	}
	function := "s3"
	switch {
	case strings.HasPrefix(file, "/"):
		function = "file"
	case strings.HasPrefix(file, "gs://"):
		function, file = "gcs", "https://storage.googleapis.com/"+strings.TrimPrefix(file, "gs://")
	}
	return fmt.Sprintf("%s(%s, 'Parquet', %s)", function, s.text(file), s.text(strings.Join(columns, ", ")))
}
