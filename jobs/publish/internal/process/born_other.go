//go:build !linux && !darwin

package process

func machine() string { return "" }

func born(int) (at string, known bool) { return "", false }
