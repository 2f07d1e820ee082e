package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// chart shows bars over a common time axis. Positions are in percent of its width.
type chart struct {
	Ticks []tick
	Bars  []bar
	Note  string
}

type tick struct {
	At   float64
	Text string
}

type bar struct {
	Name, Class string
	from, to    float64 // seconds

	Took, Title       string
	Left, Width, Text float64
	Where             string // position of the text: before or inside the bar; "" is behind it
}

// waterfall returns a chart of the stages in start order.
func (r Report) waterfall() *chart {
	stages := slices.DeleteFunc(slices.Clone(r.Stages), func(s Stage) bool { return s.Started.IsZero() })
	if len(stages) == 0 {
		return nil
	}
	slices.SortStableFunc(stages, func(a, b Stage) int { return a.Started.Compare(b.Started) })
	from := slices.MinFunc([]time.Time{r.Started, stages[0].Started}, time.Time.Compare)
	var bars []bar
	for _, s := range stages {
		at := s.Started.Sub(from).Seconds()
		bars = append(bars, bar{Name: s.Key.String(), Class: string(s.Verdict()), from: at, to: at + s.Seconds})
	}
	return newChart(bars)
}

// newChart computes the layout of bars over one axis.
func newChart(bars []bar) *chart {
	end := 0.001
	for _, b := range bars {
		end = max(end, b.to)
	}
	end *= 1.02
	c := &chart{Bars: bars}
	percent := func(seconds float64) float64 { return math.Round(seconds/end*10000) / 100 }
	step := tickStep(end)
	for i := 0; float64(i)*step < end*0.88; i++ { // a tick's text needs room
		text := duration(float64(i) * step)
		if step >= 60 {
			text = fmt.Sprintf("%.0f min", float64(i)*step/60)
		}
		c.Ticks = append(c.Ticks, tick{percent(float64(i) * step), text})
	}
	for i := range bars {
		b := &bars[i]
		b.Took, b.Title = duration(b.to-b.from), fmt.Sprintf("%s: from %s to %s", b.Name, duration(b.from), duration(b.to))
		b.Left, b.Width = percent(b.from), percent(max(0, b.to-b.from))
		// Behind, before or inside the bar, wherever there is room on a phone.
		switch b.Text = b.Left + b.Width; {
		case b.Text <= 68:
		case b.Left >= 32:
			b.Where, b.Text = "before", b.Left
		default:
			b.Where, b.Text = "inside", b.Left
		}
	}
	return c
}

// tickStep returns the seconds between two ticks of an axis: a round number that
// makes three to seven ticks, since a phone has no room for more.
func tickStep(end float64) float64 {
	for _, step := range []float64{0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600} {
		if end/step <= 6 {
			return step
		}
	}
	return end / 5
}

// gantt returns a chart of the services of a boot, and a sentence about the
// slowest.
func gantt(b *Boot) (c *chart, slowest string) {
	if b == nil || len(b.Services) == 0 {
		return nil, ""
	}
	end := b.FirstOK
	for _, s := range b.Services {
		end = max(end, s.Start, s.Ready)
	}
	var hung, up []bar // hung services come first
	var slow bar
	for _, s := range b.Services {
		if s.Ready == 0 {
			hung = append(hung, bar{Name: s.Name, Class: "failed", from: s.Start, to: end})
			continue
		}
		class := ""
		if slices.Contains(b.Critical, s.Name) {
			class = "critical"
		}
		up = append(up, bar{Name: s.Name, Class: class, from: s.Start, to: s.Ready})
		if s.Ready-s.Start > slow.to-slow.from {
			slow = up[len(up)-1]
		}
	}
	c = newChart(append(hung, up...))
	for i := range hung {
		c.Bars[i].Took = "never ready"
	}
	if slow.Name != "" {
		slowest = fmt.Sprintf("%s is the slowest of %d services: %s.", slow.Name, len(b.Services), duration(slow.to-slow.from))
	}
	if len(b.Critical) > 0 {
		c.Note = "Critical path: " + strings.Join(b.Critical, " → ")
	}
	return c, slowest
}
