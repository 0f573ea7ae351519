// Package datasets says what a row is: the canonical behavioural event, the
// roles an event can play, exact money, and the dictionaries that turn text
// into small codes. Its sub-packages read events from Parquet (scan), write
// typed tables (tables), reach files wherever they live (storage) and make
// synthetic history (synth).
package datasets
