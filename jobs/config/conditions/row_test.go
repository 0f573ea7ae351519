package conditions

import (
	"reflect"
	"regexp"
	"testing"
)

func TestRowConditions(t *testing.T) {
	pattern, _ := RowText("").Pattern()
	for text, want := range map[string]RowCondition{
		"churn_band in very high,high ": {"churn_band", In, []string{"very high", "high"}},
		"a = in b, c":                   {"a", Equal, []string{"in b, c"}},
		" a>=-1.5":                      {"a", AtLeast, []string{"-1.5"}},
		"a != x > y":                    {"a", Unequal, []string{"x > y"}},
		"a is known":                    {"a", Known, nil},
		"a  is  unknown":                {"a", Unknown, nil},
		"is in in":                      {"is", In, []string{"in"}},
	} {
		got, err := ParseRow(text)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if again, err := ParseRow(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%q is written %q, which reads %+v, %v", text, got, again, err)
		}
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("the schema refuses %q", text)
		}
	}
	for _, text := range []string{"", "a", "a >=", "a in", "a in ,", "a in b,,c", "a is", "a is big", "A = 1", "a; DROP", "ainb"} {
		if c, err := ParseRow(text); err == nil {
			t.Errorf("%q was read as %+v", text, c)
		}
	}
}
