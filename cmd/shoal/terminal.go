package main

import (
	"fmt"
	"io"
	"os"
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
