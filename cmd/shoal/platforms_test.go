package main

import (
	"debug/elf"
	"debug/macho"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The program can be built for all platforms that make dist promises, and needs no library.
// Each compiles every dependency anew, which takes minutes: only with SHOAL_DIST=1.
func TestPlatforms(t *testing.T) {
	if os.Getenv("SHOAL_DIST") != "1" {
		t.Skip("SHOAL_DIST is not 1")
	}
	for _, p := range []struct{ system, arch string }{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}} {
		file := filepath.Join(t.TempDir(), "shoal")
		cmd := exec.Command("go", "build", "-trimpath", "-o", file, ".")
		cmd.Env = append(os.Environ(), "GOOS="+p.system, "GOARCH="+p.arch, "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s/%s: %v\n%s", p.system, p.arch, err, out)
			continue
		}
		checkStatic(t, file, p.system, p.arch)
	}
}

// checkStatic says whether a file is a program for the platform that needs no library but,
// on darwin, the system's.
func checkStatic(t *testing.T, file, system, arch string) {
	if system == "linux" {
		f, err := elf.Open(file)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		libraries, _ := f.ImportedLibraries()
		if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; f.Machine != want || len(libraries) > 0 {
			t.Errorf("%s/%s: machine %v, libraries %v", system, arch, f.Machine, libraries)
		}
		return
	}
	f, err := macho.Open(file)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if want := map[string]macho.Cpu{"amd64": macho.CpuAmd64, "arm64": macho.CpuArm64}[arch]; f.Cpu != want {
		t.Errorf("%s/%s: cpu %v", system, arch, f.Cpu)
	}
}
