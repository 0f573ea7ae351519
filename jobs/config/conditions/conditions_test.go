package conditions

import "testing"

func TestReadAndWrite(t *testing.T) {
	for text, want := range map[string]Condition{
		"days_since_last_purchase <= 60": {"days_since_last_purchase", AtMost, 60},
		" spend_90d>=0.5 ":               {"spend_90d", AtLeast, .5},
		"a > -1e3":                       {"a", Above, -1000},
		"a < 2":                          {"a", Below, 2},
		"a = 0":                          {"a", Equal, 0},
		"a != 0":                         {"a", Unequal, 0},
		"net_spend in top 2.5%":          {"net_spend", Top, .025},
		"a in  top 5 %":                  {"a", Top, .05},
		"rating_mean is known":           {"rating_mean", Known, 0},
		"rating_mean is unknown":         {"rating_mean", Unknown, 0},
	} {
		got, err := Parse(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%q is written %q, which reads %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "a", "a >", "a >= x", "a >= NaN", "a >= 1e999", "a in top 0%", "a in top 100%", "a in top 5", "A > 1", "a is big", "a => 1"} {
		if c, err := Parse(text); err == nil {
			t.Errorf("%q was read as %+v", text, c)
		}
	}
}
