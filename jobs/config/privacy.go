package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/shoal-data/shoal/datasets/scan"
)

// Privacy says whose events may be used, and how.
type Privacy struct {
	Erased          []ErasureTable `yaml:"erased" doc:"Lists of people who are to be forgotten: none of their events is read, under any of the ids that identity knows them by. shoal erase removes them from what has been published."`
	Consents        []ConsentTable `yaml:"consents" doc:"Tables that say who has agreed. Nobody's events are used who has not, whatever the date of the run: the latest word counts."`
	Unlisted        string         `yaml:"unlisted" enum:"withheld|used" doc:"What becomes of events of customers whom no table of consents lists: withheld leaves them out, used takes them. Of no importance without consents."`
	PseudonymKeyEnv string         `yaml:"pseudonym_key_env" doc:"Environment variable that holds a key of at least 16 bytes: customers' ids are replaced by HMAC-SHA-256 of the id under it, as 64 hexadecimal digits, before anything is computed. Empty keeps ids. The key is written nowhere; the manifest has a fingerprint that tells keys apart."`
	SmallestSegment int            `yaml:"smallest_segment" min:"0" max:"1000000" doc:"Fewest customers that published numbers about a group may be about: in tables that have no row a customer, numbers about fewer are null. 0 publishes them all."`
	Purpose         string         `yaml:"purpose" doc:"What the data are used for, for the record in the manifest."`
	Retention       Days           `yaml:"retention" min:"0" max:"36500" doc:"Days after the date of a run that it may be kept: the manifest says until when, and shoal gc removes it afterwards. 0 keeps runs."`
}

// ErasureTable names people who are to be forgotten.
type ErasureTable struct {
	Path    OneOrMany      `yaml:"path" required:"true" hash:"-" doc:"Parquet file, glob or list of them, a row a person; or files that end in .txt, an id a line."`
	Columns ErasureColumns `yaml:"columns" doc:"Where the table keeps what. Rows without an id are passed over."`
	Kind    string         `yaml:"kind" doc:"Kind of all ids, when the table has no column for it: customer, or that of a source's id_kind."`
}

// ErasureColumns are the columns of an ErasureTable.
type ErasureColumns struct {
	Customer string `yaml:"customer" doc:"Column of the id."`
	Kind     string `yaml:"kind" doc:"Column of the id's kind, for a table of several kinds; empty when it has none."`
}

// ConsentTable says who has agreed.
type ConsentTable struct {
	Path    OneOrMany      `yaml:"path" required:"true" hash:"-" doc:"Parquet file, glob or list of them: a row what a customer said."`
	Columns ConsentColumns `yaml:"columns" doc:"Where the table keeps what. Rows without an id are passed over."`
	Kind    string         `yaml:"kind" doc:"Kind of all ids, when the table has no column for it: customer, or that of a source's id_kind."`
}

// ConsentColumns are the columns of a ConsentTable.
type ConsentColumns struct {
	Customer string `yaml:"customer" doc:"Column of the id."`
	Given    string `yaml:"given" doc:"Column that says whether consent is given: true, t, yes, y or 1; anything else, and nothing, is a refusal."`
	Time     string `yaml:"time" doc:"Column of when that was said: a customer's latest row counts, and of several at once a refusal. Empty when rows have no time: then one refusal is enough."`
	Kind     string `yaml:"kind" doc:"Column of the id's kind, for a table of several kinds; empty when it has none."`
}

// What becomes of events of customers whom no table of consents lists.
const (
	UnlistedWithheld = "withheld"
	UnlistedUsed     = "used"
)

// SetDefaults is a list of the usual column.
func (t *ErasureTable) SetDefaults(int) {
	*t = ErasureTable{Path: OneOrMany{}, Columns: ErasureColumns{Customer: "customer_id"}, Kind: scan.CustomerKind}
}

// SetDefaults is a table of the usual columns.
func (t *ConsentTable) SetDefaults(int) {
	*t = ConsentTable{Path: OneOrMany{}, Columns: ConsentColumns{Customer: "customer_id", Given: "consent"}, Kind: scan.CustomerKind}
}

// consent is the tables the way datasets/scan reads them; nil without any.
func (p *Privacy) consent() *scan.ConsentSpec {
	if len(p.Erased)+len(p.Consents) == 0 {
		return nil
	}
	spec := &scan.ConsentSpec{Unlisted: p.Unlisted == UnlistedUsed}
	for _, t := range p.Erased {
		spec.Erased = append(spec.Erased, scan.ConsentTable{Paths: slices.Clone(t.Path), Customer: t.Columns.Customer, KindColumn: t.Columns.Kind, Kind: t.Kind})
	}
	for _, t := range p.Consents {
		spec.Consents = append(spec.Consents, scan.ConsentTable{
			Paths: slices.Clone(t.Path), Customer: t.Columns.Customer, KindColumn: t.Columns.Kind, Kind: t.Kind, Given: t.Columns.Given, Time: t.Columns.Time,
		})
	}
	return spec
}

// minKey is the length of the shortest key for pseudonyms, in bytes: 128 bits, if it is
// random.
const minKey = 16

// PseudonymKey is the key from the environment, nil when ids are kept. No error says
// anything of the key.
func (p *Privacy) PseudonymKey() (scan.PseudonymKey, error) {
	if p.PseudonymKeyEnv == "" {
		return nil, nil
	}
	key := os.Getenv(p.PseudonymKeyEnv)
	switch {
	case key == "":
		return nil, fmt.Errorf("privacy.pseudonym_key_env: the environment variable that it names is not set; set it to a secret of at least %d bytes, such as openssl rand -hex 32 prints", minKey)
	case len(key) < minKey:
		return nil, fmt.Errorf("privacy.pseudonym_key_env: the key in the environment variable that it names is too short to be a secret; it must have at least %d bytes, such as openssl rand -hex 32 prints", minKey)
	}
	return scan.PseudonymKey(key), nil
}

var variableName = regexp.MustCompile(`^[A-Z_][A-Z0-9_]{0,63}$`)

func (c *Config) privacy(k *checker) {
	p := &c.Privacy
	table := func(at string, paths OneOrMany, customer, kindColumn, kind, what string) {
		k.paths(at+".path", paths, what, c.Out)
		if len(paths) == 0 {
			k.add(at+".path", "", "missing; name the file or glob that holds the %s", what)
		}
		k.column(at+".columns.customer", customer)
		k.idKind(at+".kind", kind)
		switch {
		case kindColumn != "" && kind != scan.CustomerKind:
			k.add(at+".kind", strconv.Quote(kind), "excludes columns.kind: either all ids are of one kind, or a column says which")
		case kind != scan.CustomerKind && !slices.ContainsFunc(c.Sources, func(s Source) bool { return s.IDKind == kind }):
			k.add(at+".kind", strconv.Quote(kind), "is the id_kind of no source, so that nobody would be found by it")
		}
	}
	for i, t := range p.Erased {
		at := fmt.Sprintf("privacy.erased[%d]", i)
		table(at, t.Path, t.Columns.Customer, t.Columns.Kind, t.Kind, "erasures")
		if t.Columns.Kind != "" && slices.ContainsFunc(t.Path, func(p string) bool { return strings.HasSuffix(p, ".txt") }) {
			k.add(at+".columns.kind", t.Columns.Kind, "is a column, which a file of an id a line does not have; list files of each kind apart")
		}
	}
	for i, t := range p.Consents {
		at := fmt.Sprintf("privacy.consents[%d]", i)
		table(at, t.Path, t.Columns.Customer, t.Columns.Kind, t.Kind, "consents")
		k.column(at+".columns.given", t.Columns.Given)
	}
	if p.PseudonymKeyEnv != "" && !variableName.MatchString(p.PseudonymKeyEnv) {
		// It may be the key itself, and is not shown.
		k.add("privacy.pseudonym_key_env", "", "is no name of an environment variable in capitals; name the variable that holds the key, such as SHOAL_PSEUDONYM_KEY, and never the key itself")
	}
}
