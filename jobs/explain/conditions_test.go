package explain

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shoal-data/shoal/datasets"
)

// Which of some events a column's SQL takes in, and which SQL is not plain.
func TestConditions(t *testing.T) {
	events := []event{ // ages 0, 29, 30, 31
		{role: datasets.Purchase, amount: 10_000, channel: "Email", category: "o'er"},
		{role: datasets.Purchase, amount: datasets.NullMoney, typ: "a) b"},
		{role: datasets.View, amount: datasets.NullMoney, channel: "web", session: 1},
		{role: datasets.Return, amount: -1, rating: datasets.NullMoney},
	}
	ages := []int32{0, 29, 30, 31}
	for sql, want := range map[string]string{
		"count(*)":                                   "[0 1 2 3]",
		"$today - max(day)":                          "[0 1 2 3]",
		"coalesce(sum(amount), 0)":                   "[0 3]",
		"sum(abs(amount))":                           "[0 3]",
		"count(DISTINCT session_id)":                 "[2]",
		"count(*) FILTER (WHERE day > $today - 30)":  "[0 1]",
		"count(*) FILTER (WHERE day <= $today - 30)": "[2 3]",
		"count(*) FILTER (WHERE day > $today - 31 AND day <= $today - 1)":       "[1 2]",
		"count(*) FILTER (WHERE lower(channel) = 'email')":                      "[0]",
		"count(*) FILTER (WHERE channel = 'email')":                             "[]",
		"count(*) FILTER (WHERE channel <> 'web')":                              "[0]", // null is not unlike
		"count(*) FILTER (WHERE role IN ('view', 'return'))":                    "[2 3]",
		"count(*) FILTER (WHERE category = 'o''er')":                            "[0]",
		"count(*) FILTER (WHERE event_type = 'a) b') / nullif(sum(amount), 0)":  "[0 1 3]",
		"sum(amount) FILTER (WHERE role = 'purchase' AND category IS NOT NULL)": "[0]",
		"avg(gap)": "not plain",
		"count(*) FILTER (WHERE role = 'purchase' AND nth = 1)":        "not plain",
		"count(*) FILTER (WHERE role = 'purchase' OR role = 'view')":   "not plain",
		"count(*) FILTER (WHERE (day > $today - 3 AND role = 'view'))": "not plain",
		"1": "not plain",
	} {
		got := "not plain"
		if cs, ok := conditions(sql); ok {
			at := []int{}
			for i := range events {
				for _, c := range cs {
					if c(&events[i], ages[i]) {
						at = append(at, i)
						break
					}
				}
			}
			got = fmt.Sprint(at)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
	for from, want := range map[string]bool{
		"history": true, "(SELECT *, lag(day) OVER (PARTITION BY customer_id) AS previous FROM history)": true,
		"(SELECT customer_id, max(day) AS day FROM history GROUP BY customer_id, session_id)": false,
		"(SELECT * FROM history WHERE role = 'view')":                                         false,
	} {
		if rowsAreEvents(from) != want {
			t.Errorf("%s: rows are events: %v", strings.TrimSpace(from), !want)
		}
	}
}
