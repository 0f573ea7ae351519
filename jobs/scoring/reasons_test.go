package scoring

import "testing"

func TestTopics(t *testing.T) {
	for name, want := range map[string]string{
		"spend_30d": "spend", "spend_lifetime": "spend", "spend_trend_30d_90d": "spend_trend_30d", "days_since_last_purchase": "days_since_last_purchase",
		"card": "card", "paid": "paid", "was_paid": "was_paid", "_d": "_d",
	} {
		if got := topicOf(name); got != want {
			t.Errorf("%s is of topic %s, want %s", name, got, want)
		}
	}
}
