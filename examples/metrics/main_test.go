package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/fifolock/fifolock/internal/redistest"
)

// The test binary is the program, too.
const programVariable = "FIFOLOCK_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
		os.Exit(0)
	}
	os.Exit(redistest.Main(m))
}

// process is the program at work.
type process struct {
	*exec.Cmd
	stdout        *bufio.Reader
	stderr        strings.Builder
	metrics, vars string // addresses
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	temporary := t.TempDir()
	p := &process{Cmd: exec.Command(os.Args[0], args...)}
	p.Env = append(os.Environ(), programVariable+"=1", "TMPDIR="+temporary, "TMP="+temporary)
	p.Stderr = &p.stderr
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.stdout = bufio.NewReader(stdout)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.Process.Kill()
			p.Wait()
		}
		if entries, err := os.ReadDir(temporary); p.ProcessState.Success() && (err != nil || len(entries) > 0) {
			t.Errorf("left behind: %v, %v", entries, err)
		}
	})
	if _, err := fmt.Fscan(p.stdout, &p.metrics, &p.vars); err != nil {
		t.Fatalf("no addresses are printed: %v", err)
	}
	return p
}

func get(t *testing.T, address string) string {
	t.Helper()
	answer, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", address, answer.Status, err)
	}
	return string(body)
}

var sample = regexp.MustCompile(`^(\w+)\{lock="[^"]+"(?:,le="([^"]+)")?\} (\S+)$`)

// scrape returns the samples, by name, or name and bucket, and checks the form.
func scrape(t *testing.T, address string) map[string]float64 {
	t.Helper()
	samples := map[string]float64{}
	for line := range strings.Lines(get(t, address)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "# HELP fifolock_") || strings.HasPrefix(line, "# TYPE fifolock_") {
			continue
		}
		parts := sample.FindStringSubmatch(line)
		if parts == nil {
			t.Fatalf("not a sample: %q", line)
		}
		value, err := strconv.ParseFloat(parts[3], 64)
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		samples[parts[1]+parts[2]] = value
	}
	return samples
}

// waitFor scrapes until a sample has at least that value.
func (p *process) waitFor(t *testing.T, name string, least float64) map[string]float64 {
	t.Helper()
	for {
		samples := scrape(t, p.metrics)
		if samples[name] >= least {
			return samples
		}
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// end interrupts the program, which is how it ends well.
func (p *process) end(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		return // it is killed
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("%v\n%s", err, &p.stderr)
	}
}

func TestFigures(t *testing.T) {
	for name, flags := range map[string][]string{"file": nil, "redis": {"-redis", redistest.Addr(t)}} {
		t.Run(name, func(t *testing.T) {
			p := start(t, flags...)
			samples := p.waitFor(t, "fifolock_hold_seconds_count", 20)
			for _, name := range []string{"fifolock_lost_total", "fifolock_unlocks_failed_total", "fifolock_heartbeats_failed_total"} {
				if value, ok := samples[name]; !ok || value != 0 {
					t.Errorf("%s is %v, want 0", name, value)
				}
			}
			acquired := samples["fifolock_acquired_total"]
			if samples["fifolock_wait_seconds_count"] != acquired || samples["fifolock_wait_seconds_bucket+Inf"] != acquired {
				t.Errorf("%v acquired, but the histogram of waits has %v", acquired, samples["fifolock_wait_seconds_count"])
			}
			if held := samples["fifolock_hold_seconds_count"]; held > acquired || acquired > samples["fifolock_registered_total"] {
				t.Errorf("%v registered, %v acquired, %v released", samples["fifolock_registered_total"], acquired, held)
			}
			if sum := samples["fifolock_hold_seconds_sum"]; sum < 20*0.010 {
				t.Errorf("held for %v s in all, want at least 20 times 10 ms", sum)
			}
			p.waitFor(t, "fifolock_queue_length", 2)

			var vars struct{ Fifolock map[string]any }
			if err := json.Unmarshal([]byte(get(t, p.vars)), &vars); err != nil {
				t.Error(err)
			}
			if later, ok := vars.Fifolock["acquired"].(float64); !ok || later < acquired {
				t.Errorf("expvar says %v acquired, after %v", vars.Fifolock["acquired"], acquired)
			}
			p.end(t)
			if p.stderr.Len() > 0 {
				t.Errorf("nothing went wrong, but it logs:\n%s", &p.stderr)
			}
		})
	}
}

// TestLost takes the lock away from its holder.
func TestLost(t *testing.T) {
	name := redistest.Name(t)
	client := redistest.Client(t)
	p := start(t, "-redis", redistest.Addr(t), "-name", name, "-lease", "1s", "-hold", "1h", "-workers", "1")
	p.waitFor(t, "fifolock_acquired_total", 1)
	if err := client.Del(t.Context(), redistest.Keys(t, client, name)...).Err(); err != nil {
		t.Fatal(err)
	}
	samples := p.waitFor(t, "fifolock_unlocks_failed_total", 1)
	for samples["fifolock_lost_total"] == 0 { // the hook has a goroutine of its own
		samples = scrape(t, p.metrics)
	}
	p.end(t)
	if want := "lost while it was held"; runtime.GOOS != "windows" && !strings.Contains(p.stderr.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, &p.stderr)
	}
}

// TestEvicted has one in line who is dead already.
func TestEvicted(t *testing.T) {
	name := redistest.Name(t)
	dead := redis.Z{Score: 1, Member: "1:nobody.1:1"}
	if err := redistest.Client(t).ZAdd(t.Context(), "{"+name+"}:queue", dead).Err(); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-redis", redistest.Addr(t), "-name", name)
	p.waitFor(t, "fifolock_evicted_total", 1)
	p.end(t)
	if want := "member=1:nobody.1:1"; runtime.GOOS != "windows" && !strings.Contains(p.stderr.String(), want) {
		t.Errorf("the log does not say %q:\n%s", want, &p.stderr)
	}
}

func TestEndsByItself(t *testing.T) {
	p := start(t, "-for", "50ms", "-v")
	figures, _ := io.ReadAll(p.stdout)
	if !strings.Contains(string(figures), "\nfifolock_acquired_total{") {
		t.Errorf("it ends without its figures:\n%s", figures)
	}
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"in line", "acquired", "released", "token=", "waited=", "held="} {
		if !strings.Contains(p.stderr.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, &p.stderr)
		}
	}
}

func TestErrors(t *testing.T) {
	for words, args := range map[string][]string{
		"at least 1": {"-workers", "0"},
		"above 0":    {"-hold", "0"},
		"unexpected": {"surplus"},
		"-surplus":   {"-surplus"},
		"listen":     {"-addr", "127.0.0.1:-1"},
	} {
		c := exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), programVariable+"=1")
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), words) {
			t.Errorf("metrics %v: %v, want exit code 1 and %q:\n%s", args, c.ProcessState, words, out)
		}
	}
}

func TestHistogram(t *testing.T) {
	var h histogram
	for _, d := range []time.Duration{0, bounds[0], bounds[0] + 1, time.Second, time.Hour} {
		h.observe(d)
	}
	var out strings.Builder
	printer{&out, `lock="x"`}.histogram("h", "Help.", &h)
	for _, want := range []string{
		"# HELP h Help.\n# TYPE h histogram\n",
		`h_bucket{lock="x",le="0.0001"} 2` + "\n",
		`h_bucket{lock="x",le="0.001"} 3` + "\n",
		`h_bucket{lock="x",le="1"} 4` + "\n",
		`h_bucket{lock="x",le="30"} 4` + "\n",
		`h_bucket{lock="x",le="+Inf"} 5` + "\n",
		`h_count{lock="x"} 5` + "\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("there is no %q in\n%s", want, out.String())
		}
	}
	if math.Abs(h.sum.Seconds()-3601.0002) > 1e-6 {
		t.Errorf("the sum is %v", h.sum)
	}
}
