package outputs

// RowIs says what a row of each published table is. Every table that a run
// publishes is named here, in the order in which a reader meets them.
var RowIs = []struct{ Table, Meaning string }{
	{"customer_scores", "A customer at the as-of date: segments, scores with their reasons, expected purchases and value. The table that campaigns are run from."},
	{"features", "A customer at the as-of date, with every feature as it was computed."},
	{"changes", "A customer who is new, gone, or differs from the run before by more than `publish.changes` says: old values and new."},
	{"segments", "A segment: its name, size, share of revenue, and what a typical customer of it does."},
	{"segment_profiles", "A segment and a feature: where the segment's customers lie, beside everybody."},
	{"segment_distances", "A segment and another one: how far apart they are, and in what."},
	{"segment_counts", "A number of segments that was tried: how the data support it, and whether it was chosen."},
	{"segment_history", "A segment in this run: whether it is new, kept, split, merged or retired."},
	{"segment_migrations", "A pair of segments: how many customers went from one, in the run before, to the other, in this."},
	{"customer_map", "A customer of a sample, without a name, in the two directions in which customers differ most."},
	{"trends", "A number of this run or of one before it: customers, sizes of segments, how good the models were."},
	{"segment_models", "A segmentation: its preparation and centres, by which the next run knows the segments again."},
	{"model_metrics", "A number about a model: what it was measured on, its interval, and whether the model scores the customers."},
	{"calibration", "Customers of similar probability on a date that the model has not seen, and how many of them had the outcome."},
	{"model_curves", "A point of a curve of a model on a date that it has not seen: ROC, precision and recall, gains, scores, what a budget buys."},
	{"feature_effects", "A feature of the model that scores the customers: how much it matters, and which way, over tenths of the customers."},
	{"label_audit", "A target and a snapshot: what its labels are made of."},
	{"rejected_rows", "A row of the input that could not be used: a sample of them, with the reason."},
	{"score_backtest", "A target and an earlier run: how right its scores were, now that their outcomes are known."},
	{"data_quality", "A measure of the input: its value beside the run before, last year and what was to be expected, and what the gates say of it."},
	{"drift", "A feature or score and what it is compared with: how far its distribution has moved, and what the gates say of it."},
	{"drift_bins", "A bin of a feature or score: how many customers it holds, here and in what it is compared with."},
	{"cohorts", "A cohort, the customers who first bought in a calendar month, and a month since: how many of them bought in it."},
}
