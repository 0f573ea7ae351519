package scan_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/parquet-go/parquet-go"

	"github.com/shoal-data/shoal/datasets"
	"github.com/shoal-data/shoal/datasets/scan"
	"github.com/shoal-data/shoal/datasets/storage"
)

// Reading a lake's events: what they are called there, what they mean here.
func Example() {
	dir, err := os.MkdirTemp("", "scan")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	type click struct {
		User  int64   `parquet:"user_id"`
		TS    int64   `parquet:"ts,timestamp(millisecond)"`
		Name  string  `parquet:"name"`
		Price float64 `parquet:"price"`
	}
	if err := parquet.WriteFile(filepath.Join(dir, "part-0.parquet"), []click{
		{7, 1_700_000_000_000, "page_view", 0}, {7, 1_700_000_060_000, "order_completed", 19.99}, {9, 1_700_000_120_000, "order_completed", 5},
	}); err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	plan, err := scan.NewPlan(ctx, storage.Local(), []scan.Source{{
		Name:  "web",
		Paths: []string{filepath.Join(dir, "*.parquet")},
		Columns: map[datasets.Field]string{
			datasets.CustomerID: "user_id", datasets.EventTime: "ts", datasets.EventType: "name", datasets.Amount: "price",
		},
		Roles:    map[string]datasets.Role{"order_completed": datasets.Purchase, "page_view": datasets.View},
		Currency: "EUR",
	}})
	if err != nil {
		log.Fatal(err)
	}
	var revenue atomic.Int64
	report, err := plan.Read(ctx, datasets.NewDicts(), scan.DefaultOptions(), func(_ int, b *datasets.Batch) error {
		for i, role := range b.Role {
			if role == datasets.Purchase {
				revenue.Add(int64(b.Amount[i]))
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.RowsAccepted, "events of", plan.IDType, "customers, purchases of", datasets.Money(revenue.Load()), report.Currencies[0].Currency)
	// Output: 3 events of int64 customers, purchases of 24.99 EUR
}
