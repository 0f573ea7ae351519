package main

import (
	"encoding/json"
	"os"
	"runtime"
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	code, stdout, _ := shoal(t, "version", "--json")
	var b buildInfo
	if err := json.Unmarshal([]byte(stdout), &b); err != nil || code != 0 || b.Version != version() || b.Go != runtime.Version() || b.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("exit %d, %v: %s", code, err, stdout)
	}
	if code, stdout, _ := shoal(t, "version"); code != 0 || !strings.HasPrefix(stdout, "shoal "+version()+"\n") {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// The image copies what make dist builds, for the platforms that it builds.
func TestDockerfileCopiesWhatDistBuilds(t *testing.T) {
	docker, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	make, err := os.ReadFile("../../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"amd64", "arm64"} {
		if !strings.Contains(string(make), "linux/"+arch) {
			t.Errorf("make dist builds no linux/%s", arch)
		}
	}
	if !strings.Contains(string(docker), "COPY dist/shoal-linux-${TARGETARCH} /shoal") || !strings.Contains(string(make), "-o dist/shoal-$${p%/*}-$${p#*/}") {
		t.Error("the Dockerfile copies another file than make dist builds")
	}
}
