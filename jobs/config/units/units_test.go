package units

import (
	"math"
	"regexp"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestScalars(t *testing.T) {
	for _, tc := range []struct {
		into      scalarPointer
		in, canon string // canon "" = refused
	}{
		{new(Days), "90d", "90d"}, {new(Days), "12w", "84d"}, {new(Days), "1y", "365d"}, {new(Days), "7", "7d"},
		{new(Days), "-1d", ""}, {new(Days), "1.5d", ""}, {new(Days), "d", ""}, {new(Days), "90 d", ""}, {new(Days), "6000000y", ""}, {new(Days), "2h", ""},
		{new(Duration), "30m", "30m"}, {new(Duration), "90m", "90m"}, {new(Duration), "120m", "2h"}, {new(Duration), "24h", "1d"},
		{new(Duration), "2w", "14d"}, {new(Duration), "0s", "0s"}, {new(Duration), "30", ""}, {new(Duration), "1h30m", ""}, {new(Duration), "99999999w", ""},
		{new(Size), "512MiB", "512MiB"}, {new(Size), "1024KiB", "1MiB"}, {new(Size), "1.5GiB", "1536MiB"}, {new(Size), "200MB", "200MB"},
		{new(Size), "7B", "7B"}, {new(Size), "512", ""}, {new(Size), "0.3B", ""}, {new(Size), "9e9GiB", ""}, {new(Size), "8388608TiB", ""}, {new(Size), "MiB", ""},
		{new(Memory), "25%", "25%"}, {new(Memory), "12.5%", "12.5%"}, {new(Memory), "1GiB", "1GiB"}, {new(Memory), "0%", ""}, {new(Memory), "101%", ""}, {new(Memory), "NaN%", ""},
		{new(AutoInt), "auto", "auto"}, {new(AutoInt), "-3", "-3"}, {new(AutoInt), "", ""}, {new(AutoInt), "3.0", ""},
		{new(Bound), "off", "off"}, {new(Bound), "0.25", "0.25"}, {new(Bound), "on", ""}, {new(Bound), "NaN", ""}, {new(Bound), "1e999", ""}, {new(Bound), "", ""},
		{new(AutoDays), "auto", "auto"}, {new(AutoDays), "2w", "14d"}, {new(AutoDays), "Auto", ""},
		{new(Within), "ever", "ever"}, {new(Within), "auto", "auto"}, {new(Within), "3w", "21d"}, {new(Within), "never", ""},
		{new(Date), "2024-02-29", "2024-02-29"}, {new(Date), "2023-02-29", ""}, {new(Date), "2024-2-1", ""}, {new(Date), "", ""},
		{new(Decimal), "0.93", "0.93"}, {new(Decimal), "1e-05", "1e-05"}, {new(Decimal), ".5", ".5"}, {new(Decimal), "0x1p2", ""}, {new(Decimal), "inf", ""}, {new(Decimal), "1_0", ""}, {new(Decimal), "1e999", ""},
	} {
		err := tc.into.UnmarshalText([]byte(tc.in))
		if (err == nil) != (tc.canon != "") {
			t.Errorf("%T %q: error %v", tc.into, tc.in, err)
			continue
		}
		if err != nil {
			continue
		}
		got, err := tc.into.MarshalText()
		if err != nil || string(got) != tc.canon {
			t.Errorf("%T %q → %q, %v; want %q", tc.into, tc.in, got, err, tc.canon)
		}
		if p, _ := tc.into.Pattern(); !regexp.MustCompile(p).MatchString(tc.in) && regexp.MustCompile(`[^0-9-]`).MatchString(tc.in) {
			t.Errorf("%T: schema pattern %s refuses %q", tc.into, p, tc.in)
		}
	}
	if got := (Memory{Percent: 25}).Of(8 * GiB); got != 2*GiB {
		t.Errorf("25%% of 8 GiB is %d", got)
	}
	if got := (Memory{Bytes: 5}).Of(8 * GiB); got != 5 {
		t.Errorf("5 B of 8 GiB is %d", got)
	}
	if _, err := Duration(1500 * time.Millisecond).MarshalText(); err == nil {
		t.Error("1.5 s marshals")
	}
}

type scalarPointer interface {
	UnmarshalText([]byte) error
	Scalar
}

// Every value marshals to a text that reads back as the same value.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		same := func(from Scalar, into scalarPointer, got func() Scalar) {
			text, err := from.MarshalText()
			if err != nil {
				t.Fatal(err)
			}
			if err := into.UnmarshalText(text); err != nil || got() != from {
				t.Fatalf("%T %v → %q → %v, %v", from, from, text, got(), err)
			}
		}
		n := rapid.Int64Range(0, math.MaxInt64).Draw(t, "n")
		days := Days(n % math.MaxInt32)
		var d Days
		same(days, &d, func() Scalar { return d })
		var dur Duration
		same(Duration(time.Duration(n%(1<<33))*time.Second), &dur, func() Scalar { return dur })
		var size Size
		same(Size(n), &size, func() Scalar { return size })
		var m Memory
		same(Memory{Percent: rapid.Float64Range(0.001, 100).Draw(t, "p")}, &m, func() Scalar { return m })
		same(Memory{Bytes: Size(n/2 + 1)}, &m, func() Scalar { return m })
		var ai AutoInt
		same(AutoInt{N: int(int32(n))}, &ai, func() Scalar { return ai })
		var ad AutoDays
		same(AutoDays{Days: days}, &ad, func() Scalar { return ad })
		var x Bound
		same(Bound{Value: float64(n) / 1000}, &x, func() Scalar { return x })
		same(Bound{Off: true}, &x, func() Scalar { return x })
		var w Within
		same(Within{Days: days}, &w, func() Scalar { return w })
	})
}
