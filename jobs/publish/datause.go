package publish

// A DataUse is the record of what a run used, for whoever must account for it.
type DataUse struct {
	Purpose       string `json:"purpose"` // privacy.purpose
	RetentionDays int    `json:"retention_days,omitempty"`
	KeepUntil     string `json:"keep_until,omitempty"` // YYYY-MM-DD: the run's date and the retention

	Columns []UsedColumn `json:"columns"` // that were read, and what for
	NotRead []UsedColumn `json:"configured_but_not_read"`

	// Consent says by what it was decided whose events are used.
	ConsentColumns  int    `json:"sources_with_consent_column"`
	ConsentTables   int    `json:"consent_tables"`
	ErasureLists    int    `json:"erasure_lists"`
	Unlisted        string `json:"unlisted,omitempty"` // with consent tables: what became of customers whom none lists
	Pseudonyms      string `json:"pseudonyms"`         // "none", or the method and the key's fingerprint
	SmallestSegment int    `json:"smallest_segment"`
}

// A UsedColumn is a column of the input.
type UsedColumn struct {
	Source string   `json:"source"` // of events, or a table such as identity[0]
	Column string   `json:"column"`
	Field  string   `json:"field"` // what it is mapped to
	For    []string `json:"for"`   // what it was read for
}
