package kmeans_test

import (
	"context"
	"fmt"

	"github.com/shoal-data/shoal/models"
	"github.com/shoal-data/shoal/models/kmeans"
)

func ExampleFit() {
	x := models.Matrix{
		Names: []string{"orders", "returns"},
		Data:  []float64{1, 0, 2, 0, 1, 1, 9, 0, 8, 1, 9, 2, 8, 1},
	}
	p := kmeans.DefaultParams()
	p.K = 2
	model, result, warnings, err := kmeans.Fit(context.Background(), p, x)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("labels", result.Labels)
	for k := range model.K() {
		fmt.Printf("cluster %d: %v rows around %.2f\n", k, model.Weights()[k], model.Centres().Row(k))
	}
	for _, w := range warnings {
		fmt.Println(w.Code)
	}
	// Output:
	// labels [1 1 1 0 0 0 0]
	// cluster 0: 4 rows around [8.50 1.00]
	// cluster 1: 3 rows around [1.33 0.33]
	// kmeans.few_members
	// kmeans.few_members
}
