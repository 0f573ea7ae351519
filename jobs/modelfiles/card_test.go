package modelfiles

import (
	"strings"
	"testing"
)

// A card says when no outcome tells of the season ahead, and how far seasons were apart.
func TestSeason(t *testing.T) {
	windows := []Window{
		{Split: "train", Snapshot: "2024-10-02", Customers: 1000, Positives: 210},
		{Split: "train", Snapshot: "2024-12-01", Customers: 1000, Positives: 314},
		{Split: "test", Snapshot: "2025-01-30", Customers: 500, Positives: 150},
		{Split: "score", Snapshot: "2025-03-31", Customers: 900, Positives: -1},
	}
	if s := season(windows, "2025-03-31"); !strings.Contains(s, "a year before 2025-03-31") || !strings.Contains(s, "21.0% to 31.4%") {
		t.Errorf("of dates half a year back at most it is said: %q", s)
	}
	for _, seen := range []string{"2024-03-05", "2024-04-01", "2024-04-30"} {
		known := append([]Window{{Split: "train", Snapshot: seen, Customers: 10, Positives: 1}}, windows...)
		if s := season(known, "2025-03-31"); s != "" {
			t.Errorf("with outcomes since %s it is said: %q", seen, s)
		}
	}
	if s := season(append([]Window{{Split: "train", Snapshot: "2024-02-20", Customers: 10, Positives: 1}}, windows...), "2025-03-31"); !strings.Contains(s, "10.0% to") {
		t.Errorf("winter tells of spring: %q", s)
	}
	if s := season(windows[3:], "2025-03-31"); s != "" {
		t.Errorf("a borrowed model's card says %q", s)
	}
}
