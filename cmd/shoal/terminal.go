package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// The ways to write logs.
const (
	logAuto  = "auto"  // human on a terminal, JSON elsewhere
	logHuman = "human" // readable lines, progress bars and a closing page
	logJSON  = "json"  // one JSON object a line
)

// A display is what stderr shows of a run.
type display struct {
	log   zerolog.Logger
	human bool
	bars  bool
	out   io.Writer
	step  string
	bar   *progressbar.ProgressBar

	mu   sync.Mutex // of what follows, for the heartbeat
	beat struct {
		step        string
		done, total int64
	}
}

// heartbeatEvery is how often a log says that a run is alive.
const heartbeatEvery = 30 * time.Second

// heartbeat logs where a run is, every so often, until stop is called. Where
// there are bars, they say it.
func (d *display) heartbeat(date string) (stop func()) {
	if d.bars {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	start := time.Now()
	go func() {
		defer close(ended)
		tick := time.NewTicker(heartbeatEvery)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				d.mu.Lock()
				b := d.beat
				d.mu.Unlock()
				d.log.Info().Str("date", date).Str("step", b.step).Int64("done", b.done).Int64("total", b.total).Float64("seconds", time.Since(start).Seconds()).Msg("at work")
			}
		}
	}()
	return func() { close(end); <-ended }
}

func newDisplay(stderr io.Writer, mode string) (*display, error) {
	d := &display{out: stderr, human: mode == logHuman || mode == logAuto && isTerminal(stderr), bars: isTerminal(stderr)}
	switch mode {
	case logAuto, logHuman, logJSON:
	default:
		return nil, fmt.Errorf("--log %q: must be auto, human or json", mode)
	}
	zerolog.TimeFieldFormat = time.RFC3339Nano
	if d.human {
		d.log = zerolog.New(zerolog.ConsoleWriter{Out: &beside{d}, TimeFormat: time.TimeOnly, NoColor: !d.bars}).With().Timestamp().Logger()
	} else {
		d.log = zerolog.New(stderr).With().Timestamp().Logger()
	}
	return d, nil
}

// beside writes log lines without tearing the progress bar.
type beside struct{ d *display }

func (b *beside) Write(p []byte) (int, error) {
	if b.d.bar != nil {
		b.d.bar.Clear()
	}
	return b.d.out.Write(p)
}

// progress draws a bar for the step at hand; total 0 begins a step.
func (d *display) progress(step string, done, total int64) {
	d.mu.Lock()
	d.beat.step, d.beat.done, d.beat.total = step, done, total
	d.mu.Unlock()
	if !d.human || !d.bars {
		return
	}
	if step != d.step || d.bar == nil && total > 0 {
		d.finish()
		d.step = step
		if total == 0 {
			return
		}
		d.bar = progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(d.out), progressbar.OptionSetDescription(fmt.Sprintf("%-12s", step)),
			progressbar.OptionSetWidth(40), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetPredictTime(true))
	}
	if d.bar != nil && total > 0 {
		d.bar.Set64(done)
	}
}

func (d *display) finish() {
	if d.bar != nil {
		d.bar.Clear()
		d.bar = nil
	}
}
