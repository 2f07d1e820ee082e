package progress

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/rivo/uniseg"
)

// row is one row of the tree.
type row struct {
	text  string // with colours
	cells int    // its width in columns
}

// piece is a part of a row in one style.
type piece struct{ text, style string }

// Styles, as SGR parameters (ECMA-48).
const (
	plain = ""
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
	cyan  = "36"
)

// symbols maps each state to its symbol.
var symbols = [...]piece{
	running:  {"●", cyan},
	finished: {"○", cyan},
	passed:   {"✓", green},
	failed:   {"✗", red},
	skipped:  {"-", faint},
	stopped:  {"✗", red},
}

// tree returns all steps, grouped by platform. If they do not fit the terminal,
// it returns the compact form.
func (p *Display) tree(columns, rows int) []row {
	if len(p.steps) == 0 {
		return nil
	}
	lines := p.fullTree()
	// One row is left for the cursor.
	if room := max(1, rows-1); len(lines) > room {
		lines = p.compactTree(room)
	}
	tree := make([]row, len(lines))
	for i, line := range lines {
		// The last column stays empty: some terminals wrap when it is filled.
		tree[i] = p.opts.Terminal.row(line, columns-1)
	}
	return tree
}

// fullTree returns the tree with one line for each step. The platforms' steps are
// grouped at the position of the first of them.
func (p *Display) fullTree() (lines [][]piece) {
	width := p.widest(func(s *Step) string { return s.stage }) + 2
	steps := slices.Clone(p.steps)
	if first := slices.IndexFunc(steps, func(s *Step) bool { return s.platform != "" }); first >= 0 {
		slices.SortStableFunc(steps[first:], func(a, b *Step) int {
			return cmp.Compare(cmp.Or(a.platform, "~"), cmp.Or(b.platform, "~")) // sorts after any name
		})
	}
	for i, s := range steps {
		if s.platform == "" {
			lines = append(lines, p.line("", s, s.stage, width))
			continue
		}
		if i == 0 || steps[i-1].platform != s.platform {
			lines = append(lines, []piece{{s.platform, bold}})
		}
		branch := "├ "
		if i+1 == len(steps) || steps[i+1].platform != s.platform {
			branch = "└ "
		}
		lines = append(lines, p.line(branch, s, s.stage, width-2))
	}
	return append(lines, p.footer())
}

// compactTree returns the tree in at most room lines: passed steps are only counted.
func (p *Display) compactTree(room int) (lines [][]piece) {
	width := p.widest((*Step).name)
	count := 0
	for _, s := range p.steps {
		if s.state == passed {
			count++
			continue
		}
		lines = append(lines, p.line("", s, s.name(), width))
	}
	footer := append(p.footer(), piece{fmt.Sprintf(", %d steps passed", count), faint})
	if more := len(lines) + 1 - room; more > 0 {
		lines = lines[min(len(lines), more):] // the latest are the most useful
		footer = append(footer, piece{fmt.Sprintf(", %d not shown", more), faint})
	}
	return append(lines, footer)
}

func (p *Display) widest(name func(*Step) string) int {
	width := 13 // most names fit, so that the columns do not move
	for _, s := range p.steps {
		width = max(width, len(name(s)))
	}
	return width
}

// line formats one step.
func (p *Display) line(branch string, s *Step, name string, width int) []piece {
	took := s.took()
	if s.state == running {
		took = clock(s.elapsed())
	}
	line := []piece{
		{branch, faint},
		symbols[s.state],
		{fmt.Sprintf(" %-*s %8s", width, name, took), plain},
	}
	if s.last != "" {
		line = append(line, piece{"  " + s.last, faint})
	}
	return line
}

// footer shows the elapsed time and a hint.
func (p *Display) footer() []piece {
	note := "Ctrl-C stops everything that was started"
	if p.interrupted {
		note = stopping
	}
	return []piece{{clock(p.opts.Now().Sub(p.start)), bold}, {"  " + note, faint}}
}

// row renders a line, cut to columns.
func (t *Terminal) row(line []piece, columns int) row {
	var r row
	for _, piece := range line {
		text := cut(t.printable(piece.text), columns-r.cells, t.printable("…"))
		r.cells += uniseg.StringWidth(text)
		if t.Color && piece.style != plain && text != "" {
			text = "\x1b[" + piece.style + "m" + text + "\x1b[0m"
		}
		r.text += text
	}
	return r
}

// clock formats the time of a running step.
func clock(d time.Duration) string {
	s := int(d.Seconds())
	if s < 60 {
		return fmt.Sprintf("%d s", s)
	}
	return fmt.Sprintf("%dm%02ds", s/60, s%60)
}
