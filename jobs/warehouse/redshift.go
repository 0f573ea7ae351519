package warehouse

import "strings"

// COPY takes a name for the beginning of names. Those of a run's files begin no
// other file's, so that one COPY a file loads the manifest's list and nothing
// else; a list in a manifest file of Redshift's would have to be put beside
// them first.
var redshift = dialect{
	reads: []string{"s3://"}, hint: "s3:// of a bucket in its region",
	ident: doubled(`"`), text: func(s string) string { return doubled(`'`)(strings.ReplaceAll(s, `\`, `\\`)) },
	types: map[string]string{
		"float64": "DOUBLE PRECISION", "int64": "BIGINT", "int32": "INTEGER", "bool": "BOOLEAN", "string": "VARCHAR(65535)",
		"date": "DATE", "timestamp": "TIMESTAMP", "decimal(18,4)": "DECIMAL(18,4)", "uuid": "VARBYTE(16)", "binary": "VARBYTE(65535)",
	},
	howTo: "psql -X -v ON_ERROR_STOP=1 -f this file, or the query editor with transactions; its transaction changes all tables at once",
	write: func(s *script) {
		schema := s.text("public")
		if parts := s.schema(); len(parts) > 0 {
			schema = s.text(parts[len(parts)-1])
		} else {
			s.opts.Schema = "public" // which the procedure must be told
			for _, t := range s.tables {
				t.target = s.qualified(s.opts.Prefix + t.Name)
			}
		}
		adder := s.qualified("shoal_add_column")
		s.add("Redshift has no ADD COLUMN IF NOT EXISTS", `CREATE OR REPLACE PROCEDURE %s(in_schema VARCHAR(256), in_table VARCHAR(256), in_column VARCHAR(256), in_type VARCHAR(64)) AS $shoal$
DECLARE
  present INTEGER;
BEGIN
  SELECT COUNT(*) INTO present FROM svv_columns
  WHERE table_schema = in_schema AND table_name = in_table AND column_name = in_column;
  IF present = 0 THEN
    EXECUTE 'ALTER TABLE ' || quote_ident(in_schema) || '.' || quote_ident(in_table) || ' ADD COLUMN ' || quote_ident(in_column) || ' ' || in_type;
  END IF;
END;
$shoal$ LANGUAGE plpgsql`, adder)
		for _, t := range s.tables {
			s.add(t.Name, "CREATE TABLE IF NOT EXISTS %s %s\nSORTKEY (%s)", t.target, s.defined(t, true), s.ident(dateColumn))
			for _, c := range t.Columns {
				s.add("", "CALL %s(%s, %s, %s, %s)", adder, schema, s.text(s.opts.Prefix+t.Name), s.text(c.Name), s.text(s.typeOf(c)))
			}
		}
		s.add("", "BEGIN")
		role := "default"
		if s.opts.IAMRole != "" && s.opts.IAMRole != role {
			role = s.text(s.opts.IAMRole)
		}
		for _, t := range s.tables {
			t.staging = s.ident(s.opts.Prefix + t.Name + stagingSuffix) // temporary: it has a schema of its own
			s.add(t.Name+": COPY goes by the place of a column, so this has the file's columns in their order", "CREATE TEMPORARY TABLE %s %s", t.staging, s.defined(t, false))
			for _, f := range t.filled() {
				s.add("", "COPY %s FROM %s IAM_ROLE %s FORMAT AS PARQUET", t.staging, s.text(s.file(f)), role)
			}
			s.add("fails, dividing by zero, unless every row is there", "SELECT 1 / CASE WHEN COUNT(*) = %d THEN 1 ELSE 0 END AS complete FROM %s", t.Rows, t.staging)
		}
		for _, t := range s.tables {
			s.add(t.Name, "DELETE FROM %s WHERE %s", t.target, s.ofDate())
			s.add("", "INSERT INTO %s (%s, %s)\nSELECT %s, %s FROM %s", t.target, s.ident(dateColumn), s.names(t, ""), s.date(), s.names(t, ""), t.staging)
			s.add("", "DROP TABLE %s", t.staging)
		}
		s.add("", "COMMIT")
	},
}
