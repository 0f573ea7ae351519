// Package partition writes rows of behaviour to date partitions in Parquet.
//
// parquet-go's own writer hashes every string into its dictionaries and so
// spends more on a row than making it does. Here the codes are known
// beforehand: Encoder lays out pages itself, with parquet-go's encodings, codecs
// and metadata types, and parquet-go reads them back in the tests.
package partition
