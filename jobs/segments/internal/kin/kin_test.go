package kin

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"
)

func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		name       string
		both       [][]int // then × now
		status     []string
		heir       []int
		parents    [][]int
		successors [][]int
	}{
		{"renumbered", [][]int{{2, 95}, {90, 3}}, []string{Kept, Kept}, []int{1, 0}, [][]int{{1}, {0}}, [][]int{{1}, {0}}},
		{"born", [][]int{{100, 3}}, []string{Kept, New}, []int{0, -1}, [][]int{{0}, nil}, [][]int{{0}}},
		{"died into none", [][]int{{100}, {0}}, []string{Kept}, []int{0}, [][]int{{0}}, [][]int{{0}, nil}},
		{"split, the larger part keeps the id", [][]int{{60, 40}}, []string{Split, Split}, []int{0, -1}, [][]int{{0}, {0}}, [][]int{{0, 1}}},
		{"split in halves, neither does", [][]int{{49, 48, 3}, {0, 0, 100}}, []string{Split, Split, Kept}, []int{-1, -1, 1}, [][]int{{0}, {0}, {1}}, [][]int{{0, 1}, {2}}},
		{"merged, the larger one gives the id", [][]int{{70}, {50}}, []string{Merged}, []int{0}, [][]int{{0, 1}}, [][]int{{0}, {0}}},
		{"a few who join do not make a merger", [][]int{{1000}, {50}}, []string{Kept}, []int{0}, [][]int{{0}}, [][]int{{0}, {0}}},
		{"scattered", [][]int{{10, 11, 10}, {10, 10, 11}}, []string{New, New, New}, []int{-1, -1, -1}, [][]int{nil, nil, nil}, [][]int{{0, 1, 2}, {0, 1, 2}}},
	} {
		o := &Overlap{both: c.both, inThen: make([]int, len(c.both)), inNow: make([]int, len(c.both[0]))}
		for p, row := range c.both {
			for k, n := range row {
				o.inThen[p] += n
				o.inNow[k] += n
			}
		}
		f, err := o.Recognise()
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.Status, c.status) || !slices.Equal(f.Heir, c.heir) || !reflect.DeepEqual(f.Parents, c.parents) || !reflect.DeepEqual(f.Successors, c.successors) {
			t.Errorf("%s: %+v", c.name, f)
		}
	}
}

func TestMovesAddUp(t *testing.T) {
	got := Moves([]int32{1, 1, 2, 0, 0, 2}, map[int]int{2: 3}, []int{0, 1, 1, 1, -1, -1}, []int{7, 2})
	want := []Move{
		{0, 2, 1, math.NaN(), 1. / 3}, {1, 2, 1, .5, 1. / 3}, {1, 7, 1, .5, 1}, {2, 0, 4, .8, math.NaN()}, {2, 2, 1, .2, 1. / 3},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
