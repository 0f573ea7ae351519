package config

import (
	"os"
	"strings"
	"testing"
)

func TestAudienceFaults(t *testing.T) {
	const good = `
sources: [{path: in/*.parquet, columns: {customer_id: c, event_time: t}, role: purchase}]
out: out
contacts: [{path: crm.parquet, columns: {email: address}}]
`
	if c, err := Parse("test", []byte(good+"audiences: [{name: a, where: [\"churn_band  in high,very high\"], hashed: [email]}]"), os.LookupEnv); err != nil {
		t.Fatal(err)
	} else if a := c.Audiences[0]; a.Where[0] != "churn_band in high, very high" || a.PhoneFormat != PhoneE164 || c.Contacts[0].Columns.Customer != "customer_id" || c.Contacts[0].Kind != "customer" {
		t.Errorf("%+v %+v", a, c.Contacts)
	}
	for text, want := range map[string]string{
		"audiences: [{name: A}]":                                      "audiences[0].name",
		"audiences: [{name: a}, {name: a}]":                           "audiences[1].name",
		"audiences: [{name: a, where: [\"churn_band like x\"]}]":      "audiences[0].where[0]",
		"audiences: [{name: a, where: [\"churn_band in a,,b\"]}]":     "audiences[0].where[0]",
		"audiences: [{name: a, hashed: [mail]}]":                      "audiences[0].hashed[0] (\"mail\") is no contact key; did you mean \"email\"?",
		"audiences: [{name: a, hashed: [phone]}]":                     "audiences[0].hashed[0] (phone) is in no table of contacts",
		"audiences: [{name: a, columns: [b, b]}]":                     "audiences[0].columns[1] (\"b\") is listed twice",
		"audiences: [{name: a, phone_country: \"+49\"}]":              "audiences[0].phone_country (\"+49\") is no calling code",
		"audiences: [{name: a, phone_format: raw}]":                   "audiences[0].phone_format",
		"contacts: [{columns: {email: a}}]":                           "contacts[0].path",
		"contacts: [{path: a.parquet}]":                               "contacts[0].columns: has neither email nor phone",
		"contacts: [{path: a.parquet, columns: {phone: p}, kind: x}]": "contacts[0].kind (\"x\") is the id_kind of no source",
		"contacts: [{path: out/**/*.parquet, columns: {phone: p}}]":   "contacts[0].path",
	} {
		body := good
		if strings.HasPrefix(text, "contacts") {
			body, _, _ = strings.Cut(good, "contacts")
		}
		if _, err := Parse("test", []byte(body+text), os.LookupEnv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
