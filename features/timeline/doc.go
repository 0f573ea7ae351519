// Package timeline keeps each customer's events in one canonical order and
// replays them as of a date.
//
// Events arrive as batches in any order from any number of readers (Log). Once
// they are all in, the log is frozen into a Store of buckets by customer hash;
// each bucket is ordered by customer, then time, then every other field, so a
// timeline is the same whatever order, file or goroutine its events came from.
// A History is the part of a timeline strictly before an as-of instant: it is
// all a feature can see. An Outcome is what came after: only targets ask for it.
package timeline
