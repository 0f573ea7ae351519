package numeric

import (
	"fmt"
	"math"
	"testing"
)

func relClose(got, want, tol float64) bool {
	return math.Abs(got-want) <= tol*math.Abs(want)
}

// The expected values are Σ ln(x+i), i < d, summed in 50-digit decimal
// arithmetic (Python's decimal module): Γ(x+d)/Γ(x) is that product for whole d.
func TestLogGammaRatio(t *testing.T) {
	for _, c := range []struct{ x, d, want float64 }{
		{0.25, 3, -0.35222059358935209911},
		{0.2425, 40, 106.20379107130490508},
		{3, 1000, 5925.2535393685634343},
		{7.5, 100, 386.37687017775421438},
		{12.5, 1, 2.5257286443082554398},
		{1e4, 7, 64.474482148980222302},
		{1e8, 3, 55.262042261857096166},
		{1e12, 2, 55.262042231858096416},
	} {
		if got := LogGammaRatio(c.x, c.d); !relClose(got, c.want, 4e-15) {
			t.Errorf("LogGammaRatio(%v, %v) = %.17g, want %.17g", c.x, c.d, got, c.want)
		}
	}
	// Fractional steps: the ratio is additive, Γ(x+d+e)/Γ(x) = Γ(x+d)/Γ(x) · Γ(x+d+e)/Γ(x+d),
	// across each place where the method changes.
	for _, x := range []float64{.01, .7, 4, 9.999, 10, 300.5} {
		for _, d := range []float64{0, .3, 5, 9.5, 10.5, 19.9, 20.1, 500} {
			whole := LogGammaRatio(x, d+.37)
			split := LogGammaRatio(x, d) + LogGammaRatio(x+d, .37)
			if math.Abs(whole-split) > 1e-13*(1+math.Abs(whole)) {
				t.Errorf("LogGammaRatio(%v, %v) = %v but its parts sum to %v", x, d+.37, whole, split)
			}
		}
	}
}

func TestTrigamma(t *testing.T) {
	const catalan = 0.915965594177219015 // OEIS A006752
	for _, c := range []struct {
		x, want float64
		source  string
	}{
		{1, math.Pi * math.Pi / 6, "A&S 6.4.2"},
		{.5, math.Pi * math.Pi / 2, "A&S 6.4.4"},
		{.25, math.Pi*math.Pi + 8*catalan, "π² + 8G, G Catalan's constant"},
		{1e-3, 1000001.6425331959, "scipy 1.17 polygamma(1, x)"},
		{2.5, 0.4903577561002349, "scipy 1.17"},
		{9.99, 0.10527695014824176, "scipy 1.17"},
		{10, 0.10516633568168576, "scipy 1.17"},
		{50, 0.020201333226697128, "scipy 1.17"},
		{1e6, 1.0000005000001667e-06, "scipy 1.17"},
	} {
		if got := Trigamma(c.x); !relClose(got, c.want, 2e-15) {
			t.Errorf("Trigamma(%v) = %.17g, want %.17g (%s)", c.x, got, c.want, c.source)
		}
	}
}

func TestLogisticTails(t *testing.T) {
	for _, c := range []struct{ x, want float64 }{
		{0, .5}, {-800, 0}, {800, 1}, {-40, math.Exp(-40)}, {math.Log(3), .75},
	} {
		if got := Logistic(c.x); !relClose(got, c.want, 1e-15) {
			t.Errorf("Logistic(%v) = %v, want %v", c.x, got, c.want)
		}
	}
	for _, x := range []float64{-745, -40, -1, 0, 1, 30} {
		// Softplus(x) − Softplus(−x) = x, and e^−Softplus(x) = Logistic(−x).
		if got := Softplus(x) - Softplus(-x); math.Abs(got-x) > 1e-15*math.Abs(x) {
			t.Errorf("Softplus(%v) − Softplus(−%v) = %v", x, x, got)
		}
		if got, want := math.Exp(-Softplus(x)), Logistic(-x); !relClose(got, want, 1e-13) {
			t.Errorf("exp(−Softplus(%v)) = %v, want %v", x, got, want)
		}
	}
	if got := Softplus(1e308); got != 1e308 {
		t.Errorf("Softplus(1e308) = %v", got)
	}
	for _, p := range []float64{1e-300, .01, .5, .75} {
		if got := Logistic(Logit(p)); !relClose(got, p, 1e-13) {
			t.Errorf("Logistic(Logit(%v)) = %v", p, got)
		}
	}
}

func ExampleLogGammaRatio() {
	// Γ(7)/Γ(4) = 4·5·6
	fmt.Printf("%.0f\n", math.Exp(LogGammaRatio(4, 3)))
	// Output: 120
}
