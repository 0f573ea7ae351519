// Package pseudonym puts keyed hashes in the place of customers' ids: who has the key can
// find a customer's, and who has not learns nothing of an id from it.
package pseudonym

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"hash"

	"github.com/shoal-data/shoal/datasets"
)

// A Key is what ids are hashed with. It is never written anywhere.
type Key []byte

// Fingerprint tells keys apart and says nothing of them: two keys have the same one with a
// probability of 2^-64.
func (k Key) Fingerprint() string {
	return k.Of("shoal: fingerprint of a key for pseudonyms\x00")[:16]
}

// Of is the pseudonym of an id as people write it: HMAC-SHA-256, 64 hexadecimal digits.
func (k Key) Of(id string) string {
	h := hmac.New(sha256.New, k)
	h.Write([]byte(id))
	return hex.EncodeToString(h.Sum(nil))
}

// A Reader turns codes of ids into codes of pseudonyms, for one goroutine.
type Reader struct {
	mac  hash.Hash
	id   datasets.IDType
	from *datasets.Dict
	to   *datasets.Dict
	know []uint32 // by code of the id; 0 is not yet known
	sum  [sha256.Size]byte
	text [2 * sha256.Size]byte
}

// NewReader returns a reader of ids of a type, interned in from, whose pseudonyms are
// interned in to.
func (k Key) NewReader(id datasets.IDType, from, to *datasets.Dict) *Reader {
	return &Reader{mac: hmac.New(sha256.New, k), id: id, from: from, to: to}
}

// Replace puts pseudonyms in the place of ids, none of which is null.
func (r *Reader) Replace(codes []uint32) {
	for i, c := range codes {
		if int(c) >= len(r.know) {
			r.know = append(r.know, make([]uint32, max(int(c)+1, 2*len(r.know))-len(r.know))...)
		}
		if r.know[c] == 0 {
			id, _ := r.from.Lookup(c)
			r.know[c] = r.to.Code(r.hash(r.id.Format(id)))
		}
		codes[i] = r.know[c]
	}
}

// Text is the pseudonym of an id as people write it.
func (r *Reader) Text(id string) string { return string(r.hash(id)) }

func (r *Reader) hash(id string) []byte {
	r.mac.Reset()
	r.mac.Write([]byte(id))
	hex.Encode(r.text[:], r.mac.Sum(r.sum[:0]))
	return r.text[:]
}
