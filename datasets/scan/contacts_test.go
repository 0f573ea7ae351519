package scan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
)

type contactRow struct {
	Customer *string `parquet:"customer,optional"`
	Email    *string `parquet:"email,optional"`
	Phone    *int64  `parquet:"phone,optional"`
}

func text(s string) *string { return &s }

func number(n int64) *int64 { return &n }

// Contacts are found by any id that identity tables know, and named by the id that is
// published, however many workers read however many files.
func TestContacts(t *testing.T) {
	dir, in := world(t)
	parquetFile(t, dir+"/contacts-1.parquet", []contactRow{
		{text("3"), text("three@example.com"), number(493)}, {text("11"), text("one@example.com"), nil}, {text("1"), text("one@example.com"), nil},
		{nil, text("nobody@example.com"), nil}, {text("4"), nil, nil}, {text("99"), text("stranger@example.com"), nil},
	})
	parquetFile(t, dir+"/contacts-2.parquet", []contactRow{{text("1"), text("another@example.com"), nil}})
	parquetFile(t, dir+"/addresses.parquet", []contactRow{{text("p5@example.org"), nil, number(495)}, {text("nobody@example.org"), nil, number(490)}})
	in.Contacts = []scan.ContactTable{
		{Paths: []string{dir + "/contacts-*.parquet"}, Customer: "customer", Kind: scan.CustomerKind, Email: "email", Phone: "phone"},
		{Paths: []string{dir + "/addresses.parquet"}, Customer: "customer", Kind: "email", Phone: "phone"},
	}
	read := func(workers int, want func(string) bool) []scan.Contact {
		p, err := in.Plan(t.Context(), storage.Local())
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Lookups) < 5 {
			t.Errorf("the run's input is %d lookups, without contacts", len(p.Lookups))
		}
		got, err := p.Contacts(t.Context(), workers, want)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	all := func(string) bool { return true }
	want := []scan.Contact{
		{Customer: "1", Email: "another@example.com"}, {Customer: "1", Email: "one@example.com"}, {Customer: "3", Email: "three@example.com", Phone: "493"},
		{Customer: "5", Phone: "495"}, {Customer: "99", Email: "stranger@example.com"},
	}
	for _, workers := range []int{1, 3} {
		if diff := cmp.Diff(want, read(workers, all)); diff != "" {
			t.Error(diff)
		}
	}
	if got := read(2, func(id string) bool { return id == "5" }); len(got) != 1 || got[0] != want[3] {
		t.Errorf("%v", got)
	}
	key := scan.PseudonymKey("a key of sixteen bytes")
	in.Pseudonyms = key
	if got := read(2, func(id string) bool { return id == key.Of("3") }); len(got) != 1 || got[0].Email != "three@example.com" {
		t.Errorf("by pseudonym: %v", got)
	}
	in.Pseudonyms = nil

	digest := func() uint64 {
		p, err := in.Plan(t.Context(), storage.Local())
		if err != nil {
			t.Fatal(err)
		}
		a, err1 := p.ContactsDigest(t.Context(), 1)
		b, err2 := p.ContactsDigest(t.Context(), 3)
		if err1 != nil || err2 != nil || a != b || a == 0 {
			t.Fatalf("%x %v, %x %v", a, err1, b, err2)
		}
		return a
	}
	before := digest()
	parquetFile(t, dir+"/contacts-2.parquet", []contactRow{{text("1"), text("anothes@example.com"), nil}})
	if digest() == before {
		t.Error("another address has the same digest")
	}

	parquetFile(t, dir+"/contacts-2.parquet", []contactRow{{text("one"), text("x@example.com"), nil}})
	p, err := in.Plan(t.Context(), storage.Local())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Contacts(t.Context(), 2, all); err == nil || !strings.Contains(err.Error(), "contacts-2.parquet") || !strings.Contains(err.Error(), "this is none") {
		t.Errorf("an id that is none: %v", err)
	}
	in.Contacts[1].Kind = "loyalty card"
	if _, err := in.Plan(t.Context(), storage.Local()); err == nil || !strings.Contains(err.Error(), "those of no source") {
		t.Errorf("a kind that nobody has: %v", err)
	}
}
