package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/shoal-data/shoal/internal/pyoracle"
	"github.com/shoal-data/shoal/jobs/config"
	"github.com/shoal-data/shoal/jobs/schedule"
)

// written writes goodConfig, and what is added, over a good history.
func written(t *testing.T, more string) (path, dir string) {
	t.Helper()
	dir = t.TempDir()
	good(t, dir)
	path = filepath.Join(dir, "shoal.yaml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(goodConfig, "DIR", dir)+more), 0o644); err != nil {
		t.Fatal(err)
	}
	return path, dir
}

func TestBackfillVerb(t *testing.T) {
	config, dir := written(t, "")
	file := filepath.Join(dir, "summary.json")
	args := []string{"backfill", "--config", config, "--from", "2024-06-29", "--to", "2024-06-30", "--summary-file", file}
	for _, want := range []string{`"published":2,"noop":0`, `"published":0,"noop":2`} {
		code, stdout, stderr := shoal(t, args...)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		if code != 0 || len(lines) != 3 || !strings.Contains(lines[2], want) || !strings.Contains(lines[0], `"date":"2024-06-29"`) {
			t.Errorf("exit %d, want %s:\n%s%s", code, want, stdout, stderr)
		}
		if kept, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(kept)) != lines[len(lines)-1] {
			t.Errorf("%s holds %s, %v", file, kept, err)
		}
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--from", "2024-06-29"}, 2, "--from and --to are required"},
		{[]string{"--from", "2024-06-29", "--to", "2024-06-28"}, 2, "is after"},
		{[]string{"--from", "2024-06-29", "--to", "2024-06-30", "--last", "2"}, 2, "stands for --from and --to"},
		{[]string{"--last", "0"}, 2, "must be 1 to 366"},
		{[]string{"--from", "1999-01-01", "--to", "1999-01-02"}, 99, ""},
	} {
		code, stdout, stderr := shoal(t, append([]string{"backfill", "--config", config}, c.args...)...)
		lines := strings.Split(strings.TrimSpace(stdout), "\n")
		var b schedule.Backfilled
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &b); err != nil || code != c.code || b.ExitCode != c.code || !strings.Contains(b.Error, c.want) {
			t.Errorf("%v: exit %d, %v:\n%s%s", c.args, code, err, stdout, stderr)
		}
	}
}

func TestLastNights(t *testing.T) {
	c := config.Default()
	c.Schedule.TimeZone = "Asia/Tokyo"
	// In Tokyo it is the second of March already.
	from, to, err := lastNights(c, 3, time.Date(2024, 3, 1, 20, 0, 0, 0, time.UTC))
	if err != nil || from != "2024-02-28" || to != "2024-03-01" {
		t.Errorf("%s to %s, %v", from, to, err)
	}
}

func TestScheduleVerb(t *testing.T) {
	config, _ := written(t, "schedule: {cron: \"0 3 * * 1\", time_zone: America/New_York, behind: 2}\n")
	code, stdout, stderr := shoal(t, "schedule", "--config", config, "--next", "2")
	var first struct{ At, Date string }
	if err := json.Unmarshal([]byte(strings.Split(stdout, "\n")[0]), &first); err != nil || code != 0 {
		t.Fatalf("exit %d, %v: %s%s", code, err, stdout, stderr)
	}
	at, err := time.Parse(time.RFC3339, first.At)
	if err != nil || at.Weekday() != time.Monday || at.Hour() != 3 || at.AddDate(0, 0, -2).Format(time.DateOnly) != first.Date {
		t.Errorf("next is %+v, %v", first, err)
	}
	config, _ = written(t, "schedule: {cron: \"0 99 * * *\"}\n")
	if code, _, stderr := shoal(t, "schedule", "--config", config); code != 2 || !strings.Contains(stderr, "schedule.cron") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

// TestIsShoal is no test of its own: it is the program, for tests that send it
// signals.
func TestIsShoal(t *testing.T) {
	if os.Getenv("SHOAL_ARGS") == "" {
		t.Skip("a part of TestSigterm")
	}
	os.Args = append([]string{"shoal"}, strings.Split(os.Getenv("SHOAL_ARGS"), "\n")...)
	main()
}

// SIGTERM ends a schedule, waiting or at work, with exit code 143.
func TestSigterm(t *testing.T) {
	config, dir := written(t, "schedule: {cron: \"0 3 * * *\", catch_up: 0d}\n")
	child := exec.Command(os.Args[0], "-test.run=^TestIsShoal$")
	child.Env = append(os.Environ(), "SHOAL_ARGS=schedule\n--config\n"+config)
	stderr, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := stderr.Read(line) // it says when the next night comes
	if err != nil || !strings.Contains(string(line[:n]), "next night") {
		t.Errorf("%s, %v", line[:n], err)
	}
	if err := child.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	if code := child.ProcessState.ExitCode(); code != 143 {
		t.Errorf("exit %d", code)
	}
	if _, err := os.Stat(dir + "/out"); err == nil {
		t.Error("it made a directory")
	}
}

// pretend puts a program called shoal on the PATH that ends with a code, and
// notes how it was called.
func pretend(t *testing.T, code int) (env []string, log string) {
	t.Helper()
	dir := t.TempDir()
	log = filepath.Join(dir, "calls")
	script := fmt.Sprintf("#!/bin/sh\necho \"$@\" >> %s\necho some line\necho '{\"status\": \"published\", \"run_id\": \"r1\", \"manifest\": \"m\", \"error\": \"why\"}'\nexit %d\n", log, code)
	for name, text := range map[string]string{"shoal": script, "sleep": "#!/bin/sh\nexit 0\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH")), log
}

func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "scheduling", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The crontab of docs/scheduling runs yesterday, and again after 75 only.
func TestCrontabExample(t *testing.T) {
	var command string
	for line := range strings.Lines(example(t, "crontab")) {
		if strings.HasPrefix(line, "30 4 * * * ") {
			command = strings.TrimPrefix(strings.TrimSpace(line), "30 4 * * * ")
		}
	}
	// cron turns \% into %; the paths are the machine's.
	dir := t.TempDir()
	command = strings.NewReplacer(`\%`, "%", "/var/lib/shoal", dir, "/var/log", dir).Replace(command)
	if exec.Command("date", "-d", "yesterday").Run() != nil {
		t.Skip("no GNU date")
	}
	for code, calls := range map[int]int{0: 1, 2: 1, 65: 1, 75: 3, 99: 1, 143: 1} {
		env, log := pretend(t, code)
		cmd := exec.Command("bash", "-c", command)
		cmd.Env = env
		cmd.Run()
		said, _ := os.ReadFile(log)
		yesterday := time.Now().AddDate(0, 0, -1).Format(time.DateOnly)
		if got := strings.Count(string(said), "\n"); got != calls || cmd.ProcessState.ExitCode() != code || !strings.Contains(string(said), "--date "+yesterday) {
			t.Errorf("code %d: exit %d, called %d times, want %d: %s", code, cmd.ProcessState.ExitCode(), got, calls, said)
		}
	}
}

// What examples say of exit codes and flags is what the program means by them.
func TestUnitAndCronJobExamples(t *testing.T) {
	service := example(t, "shoal.service")
	for _, want := range []string{"SuccessExitStatus=99\n", "RestartForceExitStatus=75 143\n", "Restart=no\n", "shoal run --config /etc/shoal/shoal.yaml --date"} {
		if !strings.Contains(service, want) {
			t.Errorf("shoal.service lacks %q", want)
		}
	}
	if path, err := exec.LookPath("systemd-analyze"); err == nil {
		dir := t.TempDir()
		for _, name := range []string{"shoal.service", "shoal.timer"} {
			text := strings.ReplaceAll(example(t, name), "/usr/local/bin/shoal", "/bin/true")
			if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "User=shoal\n", "")), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		out, err := exec.Command(path, "verify", filepath.Join(dir, "shoal.service"), filepath.Join(dir, "shoal.timer")).CombinedOutput()
		if err != nil || strings.Contains(string(out), dir) {
			t.Errorf("systemd-analyze verify: %v\n%s", err, out)
		}
	}
	var job struct {
		Spec struct {
			ConcurrencyPolicy string `yaml:"concurrencyPolicy"`
			Schedule          string
			TimeZone          string `yaml:"timeZone"`
			JobTemplate       struct {
				Spec struct {
					PodFailurePolicy struct {
						Rules []struct {
							Action      string
							OnExitCodes struct {
								ContainerName string `yaml:"containerName"`
								Operator      string
								Values        []int
							} `yaml:"onExitCodes"`
						}
					} `yaml:"podFailurePolicy"`
					Template struct {
						Spec struct {
							RestartPolicy string `yaml:"restartPolicy"`
							Containers    []struct {
								Name string
								Args []string
							}
						}
					}
				}
			} `yaml:"jobTemplate"`
		}
	}
	if err := yaml.Unmarshal([]byte(example(t, "cronjob.yaml")), &job); err != nil {
		t.Fatal(err)
	}
	if zone, err := time.LoadLocation(job.Spec.TimeZone); err != nil {
		t.Error(err)
	} else if _, err := schedule.ParseCron(job.Spec.Schedule, zone); err != nil {
		t.Error(err)
	}
	pod := job.Spec.JobTemplate.Spec
	rule, container := pod.PodFailurePolicy.Rules[0], pod.Template.Spec.Containers[0]
	if job.Spec.ConcurrencyPolicy != "Forbid" || pod.Template.Spec.RestartPolicy != "Never" || rule.Action != "FailJob" || rule.OnExitCodes.Operator != "In" ||
		fmt.Sprint(rule.OnExitCodes.Values) != "[2 65]" || rule.OnExitCodes.ContainerName != container.Name {
		t.Errorf("%+v", job.Spec)
	}
	// Its arguments are ones that the program takes.
	config, _ := written(t, "gates: {action: warn}\n")
	var args []string
	for _, a := range container.Args {
		args = append(args, strings.ReplaceAll(a, "/etc/shoal/shoal.yaml", config))
	}
	if code, stdout, stderr := shoal(t, args...); code != 0 {
		t.Errorf("%v: exit %d: %s%s", args, code, stdout, stderr)
	}
}

// The Python of the Airflow and Dagster examples is run beside stand-ins of those
// packages' names, with a program that ends with each code.
func TestOrchestratorExamples(t *testing.T) {
	const stand = `
import json, sys, types
class Any:
    def __init__(self, *a, **k): self.a, self.k = a, k
    def __call__(self, *a, **k): return a[0] if a and callable(a[0]) else Any(*a, **k)
    def __enter__(self): return self
    def __exit__(self, *a): return False
def raised(name):
    return type(name, (Exception,), {"__init__": lambda self, *a, **k: (Exception.__init__(self, *a), setattr(self, "k", k))[0]})
def module(name, **names):
    m = types.ModuleType(name); m.__dict__.update(names); sys.modules[name] = m
errors = {n: raised(n) for n in ["AirflowException", "AirflowFailException", "AirflowSkipException", "Failure", "RetryRequested"]}
module("airflow", DAG=Any()); module("airflow.exceptions", **errors); module("airflow.operators", ); module("airflow.operators.python", PythonOperator=Any())
module("dagster", asset=lambda **k: (lambda f: f), AssetExecutionContext=object, DailyPartitionsDefinition=Any(), Definitions=Any(), MaterializeResult=lambda **k: k["metadata"],
       build_schedule_from_partitioned_job=Any(), define_asset_job=Any(), **errors)
names = {}
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), names)
try:
    if "shoal" in names: got = json.loads(names["shoal"]("2025-03-31"))["run_id"]
    else: got = names["customer_scores"](types.SimpleNamespace(partition_key="2025-03-31"))["run_id"]
except Exception as e:
    got = type(e).__name__ + (" " + str(e.k["allow_retries"]) if "allow_retries" in getattr(e, "k", {}) else "")
print(got)
`
	python := pyoracle.Python(t)
	for file, want := range map[string]map[int]string{
		"airflow_dag.py":  {0: "r1", 2: "AirflowFailException", 65: "AirflowFailException", 75: "AirflowException", 99: "AirflowSkipException", 143: "AirflowException"},
		"dagster_defs.py": {0: "r1", 2: "Failure False", 65: "Failure False", 75: "RetryRequested", 99: "Failure False", 143: "RetryRequested"},
	} {
		for code, outcome := range want {
			env, log := pretend(t, code)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			cmd := exec.CommandContext(ctx, python, "-c", stand, filepath.Join("..", "..", "docs", "scheduling", file))
			cmd.Env = env
			out, err := cmd.CombinedOutput()
			cancel()
			said, _ := os.ReadFile(log)
			if got := strings.TrimSpace(string(out)); err != nil || got != outcome || !strings.Contains(string(said), "--date 2025-03-31") {
				t.Errorf("%s, code %d: %s, %v, want %s; called with %s", file, code, got, err, outcome, said)
			}
		}
	}
}
