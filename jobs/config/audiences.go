package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/jobs/config/conditions"
)

// ContactTable says how customers are reached.
type ContactTable struct {
	Path    OneOrMany      `yaml:"path" required:"true" hash:"-" doc:"Parquet file, glob or list of them: a row a customer."`
	Columns ContactColumns `yaml:"columns" doc:"Where the table keeps what. Rows without an id, or without a contact, are passed over."`
	Kind    string         `yaml:"kind" doc:"Kind of the ids: customer, or that of a source's id_kind. Identity tables say whose they are."`
}

// ContactColumns are the columns of a ContactTable.
type ContactColumns struct {
	Customer string `yaml:"customer" doc:"Column of the id."`
	Email    string `yaml:"email" doc:"Column of the e-mail address; empty when there is none."`
	Phone    string `yaml:"phone" doc:"Column of the telephone number; empty when there is none."`
}

// Audience is a file of customers who are addressed.
type Audience struct {
	Name         string               `yaml:"name" required:"true" doc:"Name of the audience and of its file: a lower-case letter, then letters, digits and underscores, at most 40."`
	Where        []conditions.RowText `yaml:"where" doc:"Conditions, all of which a customer's row of customer_scores must meet: a column and =, !=, >=, >, <= or < a value, in values with commas between, is known, or is unknown. None takes everybody."`
	Columns      []string             `yaml:"columns" doc:"Columns of customer_scores that the file has, customer_id among them where it is wanted. Of an audience without hashed keys an empty list is customer_id."`
	Hashed       []string             `yaml:"hashed" doc:"Contact keys that the file has, before its columns: email, phone or both, from contacts, as email_sha256 and phone_sha256. Customers without any of them are left out."`
	PhoneFormat  string               `yaml:"phone_format" enum:"e164|digits" doc:"What is hashed of a telephone number: e164, with the plus before it, or its digits alone. Platforms differ."`
	PhoneCountry string               `yaml:"phone_country" doc:"Calling code, such as 49, of telephone numbers that begin with neither + nor 00. Empty passes these over."`
}

// What is hashed.
const (
	HashedEmail = "email"
	HashedPhone = "phone"
	PhoneE164   = "e164"
	PhoneDigits = "digits"
)

// SetDefaults is a table of the usual column.
func (t *ContactTable) SetDefaults(int) {
	*t = ContactTable{Path: OneOrMany{}, Columns: ContactColumns{Customer: "customer_id"}, Kind: scan.CustomerKind}
}

// SetDefaults is everybody.
func (a *Audience) SetDefaults(int) {
	*a = Audience{Where: []conditions.RowText{}, Columns: []string{}, Hashed: []string{}, PhoneFormat: PhoneE164}
}

// hashes says whether any audience has a contact key.
func (c *Config) hashes(key string) bool {
	return slices.ContainsFunc(c.Audiences, func(a Audience) bool { return slices.Contains(a.Hashed, key) })
}

var callingCode = regexp.MustCompile(`^[1-9][0-9]{0,2}$`)

func (c *Config) audiences(k *checker) {
	emails, phones := false, false
	for i, t := range c.Contacts {
		at := fmt.Sprintf("contacts[%d]", i)
		k.paths(at+".path", t.Path, "contacts", c.Out)
		if len(t.Path) == 0 {
			k.add(at+".path", "", "missing; name the file or glob that holds the contacts")
		}
		k.column(at+".columns.customer", t.Columns.Customer)
		k.idKind(at+".kind", t.Kind)
		if t.Columns.Email == "" && t.Columns.Phone == "" {
			k.add(at+".columns", "", "has neither email nor phone; name the column of one of them")
		}
		if t.Kind != scan.CustomerKind && !slices.ContainsFunc(c.Sources, func(s Source) bool { return s.IDKind == t.Kind }) {
			k.add(at+".kind", strconv.Quote(t.Kind), "is the id_kind of no source, so that nobody would be found by it")
		}
		emails, phones = emails || t.Columns.Email != "", phones || t.Columns.Phone != ""
	}
	for i, a := range c.Audiences {
		at := fmt.Sprintf("audiences[%d]", i)
		k.name(at+".name", a.Name)
		k.list(at+".columns", a.Columns, "column")
		k.list(at+".hashed", a.Hashed, "contact key")
		for j, h := range a.Hashed {
			switch el := fmt.Sprintf("%s.hashed[%d]", at, j); {
			case h != HashedEmail && h != HashedPhone:
				k.add(el, strconv.Quote(h), "is no contact key; %s", oneOf(h, []string{HashedEmail, HashedPhone}))
			case h == HashedEmail && !emails, h == HashedPhone && !phones:
				k.add(el, h, "is in no table of contacts; name its column in contacts[].columns")
			}
		}
		if a.PhoneCountry != "" && !callingCode.MatchString(a.PhoneCountry) {
			k.add(at+".phone_country", strconv.Quote(a.PhoneCountry), "is no calling code; write its digits, such as 49")
		}
	}
	k.unique("audiences", len(c.Audiences), func(i int) string { return c.Audiences[i].Name })
}
