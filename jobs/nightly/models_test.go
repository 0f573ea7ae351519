package nightly

import (
	"bytes"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"

	"github.com/shoal-data/shoal/datasets/storage"
	"github.com/shoal-data/shoal/datasets/synth"
	"github.com/shoal-data/shoal/datasets/tables"
	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/modelfiles"
	"github.com/shoal-data/shoal/jobs/publish"
	"github.com/shoal-data/shoal/models"
)

// numbers reads columns of a published table, NaN for null.
func numbers(t *testing.T, out string, m *publish.Manifest, table string, names []string) models.Matrix {
	t.Helper()
	x := models.Matrix{Names: names}
	for _, path := range m.Paths(out, table) {
		f, err := storage.Local().Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		recs, err := tables.Read(t.Context(), f, f.Size())
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range recs {
			columns := make([]*array.Float64, len(names))
			for j, name := range names {
				at := rec.Schema().FieldIndices(name)
				if len(at) != 1 {
					t.Fatalf("table %s has %d columns %s", table, len(at), name)
				}
				columns[j] = rec.Column(at[0]).(*array.Float64)
			}
			for i := range int(rec.NumRows()) {
				for _, c := range columns {
					v := math.NaN()
					if c.IsValid(i) {
						v = c.Value(i)
					}
					x.Data = append(x.Data, v)
				}
			}
		}
	}
	return x
}

// A run's models are files: loaded from them and given the published features, they
// give the published probabilities, bit for bit; onnxruntime gives them to 1e-9 and
// LightGBM the trees' log-odds; and the card says what the run said.
func TestModelsAreFiles(t *testing.T) {
	p := synth.DefaultParams()
	p.Customers, p.AnonymousShare = 2500, 0
	_, c := generated(t, p)
	s, err := night(t, c, "2025-03-31", nil)
	if err != nil {
		t.Fatal(err)
	}
	m, _, err := Published(t.Context(), storage.Local(), c.Out, s.Date)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) []byte {
		t.Helper()
		data, err := publish.ReadModel(t.Context(), storage.Local(), c.Out, m, name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	scored := 0
	for _, g := range s.Targets {
		if g.Skipped != "" {
			continue
		}
		data := file(g.Name + ".json")
		loaded, err := modelfiles.LoadTarget(data)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := json.Marshal(loaded); err != nil || string(again)+"\n" != string(data) {
			t.Errorf("%s: loaded and saved again it is another, %v", g.Name, err)
		}
		f := loaded.Model
		if f.Name != g.Champion {
			t.Errorf("%s: the file holds %s, the champion is %s", g.Name, f.Name, g.Champion)
		}
		x := numbers(t, c.Out, m, "features", f.Columns)
		scores, err := f.Scores(nil, x)
		if err != nil {
			t.Fatal(err)
		}
		probability, err := f.Calibrated(nil, scores)
		if err != nil {
			t.Fatal(err)
		}
		published := numbers(t, c.Out, m, "customer_scores", []string{g.Name + "_probability"}).Data
		for i, v := range published {
			if v == v && v != probability[i] {
				t.Fatalf("%s: customer %d was published with %v, the loaded model gives %v", g.Name, i, v, probability[i])
			}
			if v == v {
				scored++
			}
		}
		rows := make([][]*float64, x.Rows())
		for i := range rows {
			for j := range x.Row(i) {
				if v := &x.Row(i)[j]; *v == *v {
					rows[i] = append(rows[i], v)
				} else {
					rows[i] = append(rows[i], nil)
				}
			}
		}
		in := map[string]any{"onnx": file(g.Name + ".onnx"), "x": rows, "columns": f.Columns, "lightgbm": ""}
		if f.Trees != nil {
			in["lightgbm"] = string(file(g.Name + ".lightgbm.txt"))
		}
		var got struct{ Probability, Score []float64 }
		pyoracle.Run(t, `
import base64, json, sys
import lightgbm, numpy, onnx, onnxruntime
a = json.load(sys.stdin)
m = base64.b64decode(a["onnx"])
onnx.checker.check_model(onnx.load_from_string(m), full_check=True)
s = onnxruntime.InferenceSession(m, providers=["CPUExecutionProvider"])
assert json.loads(s.get_modelmeta().custom_metadata_map["columns"]) == a["columns"]
x = numpy.array(a["x"], dtype=float)
p, score = s.run(["probability", "score"], {"x": x})
if a["lightgbm"]:
    score = lightgbm.Booster(model_str=a["lightgbm"]).predict(x, raw_score=True)
print(json.dumps({"Probability": p.ravel().tolist(), "Score": score.ravel().tolist()}))
`, in, &got)
		for i, want := range probability {
			if math.Abs(got.Probability[i]-want) > 1e-9 || math.Abs(got.Score[i]-scores[i]) > 1e-9*(1+math.Abs(scores[i])) {
				t.Fatalf("%s: customer %d: %v and log-odds %v elsewhere, %v and %v here", g.Name, i, got.Probability[i], got.Score[i], want, scores[i])
			}
		}
		var card modelfiles.Card
		if err := json.Unmarshal(file(g.Name+".card.json"), &card); err != nil {
			t.Fatal(err)
		}
		if card.Model != g.Champion || card.Run.ID != s.RunID || card.Run.Customers != s.Input.Customers || len(card.Features) != len(f.Columns) || len(card.Caveats) == 0 {
			t.Errorf("card %+v", card)
		}
		tested := false
		for _, w := range card.Windows {
			tested = tested || w.Split == "test" && w.Snapshot == g.TestDate && w.Customers == g.TestRows && w.Positives == g.Positives
		}
		auc := false
		for _, n := range card.Metrics {
			auc = auc || n.Model == g.Best && n.Name == "auc" && n.Value != nil && *n.Value == *g.AUC.Model && n.Low != nil
		}
		if !tested || g.Champion == g.Best && !auc {
			t.Errorf("%s: the card lacks the test's window or AUC: %+v", g.Name, card)
		}
		if words := string(file(g.Name + ".card.md")); !strings.Contains(words, "| test | "+g.TestDate) || !strings.Contains(words, "## Caveats") {
			t.Errorf("the card in words:\n%s", words)
		}
	}
	if scored < 500 {
		t.Fatalf("%d probabilities compared", scored)
	}
	v, err := modelfiles.LoadValue(file("value.json"))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(v); err != nil || string(again)+"\n" != string(file("value.json")) {
		t.Errorf("the value models, loaded and saved again, are others: %v", err)
	}
	if v.Spending == nil || !strings.HasPrefix(s.Value.Model, v.Buying.Kind) || (v.PurchaseTrees != nil) != strings.HasSuffix(s.Value.Model, "trees") {
		t.Errorf("value models %+v, the summary says %s", v, s.Value.Model)
	}
	if words := file("value.card.md"); !bytes.Contains(words, []byte("rmse_purchases")) {
		t.Errorf("the value card:\n%s", words)
	}
	for _, junk := range []string{"", "{}", "null", "[]", `{"version":1,"target":"churn","fitted":{"model":"trees","columns":["a"]}}`, `{"version":2}`, `{"version":1,"buying":{"kind":"x"}}`} {
		if _, err := modelfiles.LoadTarget([]byte(junk)); err == nil {
			t.Errorf("loaded the target %q", junk)
		}
		if _, err := modelfiles.LoadValue([]byte(junk)); err == nil {
			t.Errorf("loaded the values %q", junk)
		}
	}
}
