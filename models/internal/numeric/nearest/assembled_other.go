//go:build !amd64 || purego

package nearest

func assembled() []path { return nil }
