// Package behaviour tells what synthetic customers do: who they are (segments
// and traits), and the rows of their history, one customer and window at a time.
// The model is described in package synth.
package behaviour
