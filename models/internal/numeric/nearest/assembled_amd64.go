//go:build amd64 && !purego

package nearest

import "golang.org/x/sys/cpu"

//go:generate go -C ../../../../internal/tools run ./nearest -out ../../models/internal/numeric/nearest/nearest_amd64.s -stubs ../../models/internal/numeric/nearest/nearest_amd64.go -pkg nearest

// assembled are the paths in assembly that this processor can take, the
// fastest first.
func assembled() []path {
	var found []path
	x := cpu.X86
	if !x.HasAVX2 || !x.HasFMA || !x.HasPOPCNT {
		return nil
	}
	avx2 := path{
		name:   "avx2",
		pack:   packAssembled,
		norms:  func(norm, t []float32, d, tiles int) { normsAVX2(&norm[0], &t[0], d, tiles) },
		score:  scoreWithAVX2,
		bounds: boundsAssembled,
		filter: func(out []int32, gap []float32, label []uint16, limit []float32) int {
			n, done := 0, len(gap)&^7
			if done > 0 {
				n = filterAVX2(&out[0], &gap[0], &label[0], &limit[0], done/8)
			}
			return filterFrom(out, n, done, gap, label, limit)
		},
	}
	if x.HasAVX512F && x.HasAVX512VL && x.HasAVX512BW && x.HasAVX512DQ {
		avx512 := avx2
		avx512.name = "avx512"
		avx512.score = scoreWithAVX512
		avx512.filter = func(out []int32, gap []float32, label []uint16, limit []float32) int {
			n, done := 0, len(gap)&^15
			if done > 0 {
				n = filterAVX512(&out[0], &gap[0], &label[0], &limit[0], done/16)
			}
			return filterFrom(out, n, done, gap, label, limit)
		}
		found = append(found, avx512)
	}
	return append(found, avx2)
}

func packAssembled(t, y []float32, rows, ahead []int32, d int) {
	if d < 4 {
		packPlain(t, y, rows, ahead, d)
		return
	}
	packAVX2(&t[0], &y[0], &rows[0], &ahead[0], d)
}

func scoreWithAVX2(t, c, half []float32, first int, least, second *[Rows]float32, which *[Rows]int32, d, tiles int) {
	scoreAVX2(&t[0], &c[0], &half[0], int32(first), &least[0], &second[0], &which[0], d, tiles)
}

func scoreWithAVX512(t, c, half []float32, first int, least, second *[Rows]float32, which *[Rows]int32, d, tiles int) {
	scoreAVX512(&t[0], &c[0], &half[0], int32(first), &least[0], &second[0], &which[0], d, tiles)
}

func boundsAssembled(b *Batch, err *[5]float32, tiles int) {
	boundsAVX2(&b.Gap[0], &b.doubt[0], &b.norm[0], &b.least[0], &b.second[0], &err[0], tiles*tile/8)
}
