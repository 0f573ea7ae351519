package timeline

import (
	"os"
	"strconv"
	"testing"
)

// setMutant switches a mutant on. It is there when featuretest's mutation runner
// has compiled the package.
var setMutant func(number, limit int) (steps int)

// With SHOAL_MUTANT set, the tests run with that mutant.
func TestMain(m *testing.M) {
	if n, err := strconv.Atoi(os.Getenv("SHOAL_MUTANT")); err == nil && setMutant != nil {
		setMutant(n, 0)
	}
	os.Exit(m.Run())
}
