package report

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

var (
	//go:embed page/index.html
	pageText string
	//go:embed page/style.css
	pageStyle string
	//go:embed page/script.js
	pageScript string
)

// page returns the report as one HTML page that needs no other file and no
// network.
func (r Report) page() ([]byte, error) {
	t := template.Must(template.New("page").Funcs(template.FuncMap{
		"duration": duration, "size": size, "short": short, "count": count, "commands": commands, "loopback": loopback,
		"png": func(picture []byte) template.URL {
			return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(picture))
		},
		"clean":  func(commit string) string { return strings.TrimSuffix(commit, "-dirty") },
		"ms":     func(seconds float64) string { return fmt.Sprintf("%.0f", seconds*1000) },
		"change": func(s sbom.Size) string { return fmt.Sprintf("%+.2f MB", megabytes(s.New-s.Old)) },
	}).Parse(pageText))
	var b bytes.Buffer
	err := t.Execute(&b, r.view())
	return b.Bytes(), err
}

// view is the data of the page's template.
type view struct {
	Report
	Style     template.CSS
	Script    template.JS
	NextLog   string   // id of the log that the failure names
	Before    []string // the log lines before the failure
	Platforms []platformView
	Waterfall *chart
	Graphs    []graphView
	NotRun    []Stage
	Packages  []packageView
	Several   bool // whether the platforms' packages differ
	Sizes     []sbom.Size
	Logs      []logView

	HasPictures, HasBoots, HasChecks, HasLayers bool // whether any platform has it
}

type platformView struct {
	Platform Platform
	Worst    Stage
	Good     int                // number of passed checks
	Checked  map[string]Verdict // by the check's name
	Boot     *chart
	Slowest  string
}

// graphView is an init graph and the platforms that have it.
type graphView struct {
	Platforms string
	Drift     []string
	Light     template.URL
	Dark      template.Srcset
}

// packageView is a package. Only lists the platforms that have it, unless all do.
type packageView struct {
	sbom.Package
	Only string
}

// flush removes the indentation common to all lines, because logs align their
// times.
func flush(lines []string) (out []string) {
	indent := math.MaxInt
	for _, line := range lines {
		if text := strings.TrimLeft(line, " "); text != "" {
			indent = min(indent, len(line)-len(text))
		}
	}
	for _, line := range lines {
		out = append(out, line[min(indent, len(line)):])
	}
	return out
}

func (r Report) view() view {
	v := view{Report: r, Style: template.CSS(pageStyle), Script: template.JS(pageScript), Waterfall: r.waterfall(), Graphs: r.graphs()}
	v.NotRun = slices.DeleteFunc(r.Outcomes(), Stage.Ran)
	for _, p := range r.Platforms {
		pv := r.platform(p)
		v.Platforms = append(v.Platforms, pv)
		v.HasPictures = v.HasPictures || len(p.Pictures) > 0
		v.HasBoots = v.HasBoots || pv.Boot != nil
		v.HasChecks = v.HasChecks || len(p.Smoke) > 0
		v.HasLayers = v.HasLayers || len(p.Layers) > 0
	}
	v.Packages, v.Several = r.packageTable()
	if r.Difference != nil {
		v.Sizes = slices.DeleteFunc(slices.Clone(r.Difference.Sizes), func(s sbom.Size) bool { return s.Old == s.New })
	}
	failure := cmp.Or(r.Failure(), &Failure{})
	v.Before = failure.Output
	for _, log := range r.Logs {
		lv := logView{ID: "log-" + strings.TrimSuffix(log.Name, ".log"), Name: log.Name}
		line := 0 // the line that the failure names
		if log.Name == failure.Log {
			lv.Open, v.NextLog, line = true, lv.ID, named(failure.What)
		}
		lines := log.lines()
		if line > 0 {
			line = min(line, len(lines))
			v.Before = lines[max(0, line-linesBefore):line]
		}
		lv.fill(lines, line)
		v.Logs = append(v.Logs, lv)
	}
	v.Before = flush(v.Before)
	return v
}

func (r Report) platform(p Platform) platformView {
	v := platformView{Platform: p, Worst: r.Worst(p.Platform), Checked: map[string]Verdict{}}
	for _, c := range p.Smoke {
		if v.Checked[c.Name] = c.Verdict(); c.Verdict() == Passed {
			v.Good++
		}
	}
	v.Boot, v.Slowest = gantt(p.Boot)
	return v
}

// graphs returns the distinct init graphs.
func (r Report) graphs() (views []graphView) {
	for _, p := range r.Platforms {
		v := graphView{Platforms: p.Platform, Drift: p.Drift}
		for _, d := range p.Drawings {
			if source := "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString(d.SVG); d.Dark {
				v.Dark = template.Srcset(source)
			} else {
				v.Light = template.URL(source)
			}
		}
		if v.Light == "" && len(v.Drift) == 0 {
			continue
		}
		same := slices.IndexFunc(views, func(o graphView) bool {
			return o.Light == v.Light && o.Dark == v.Dark && slices.Equal(o.Drift, v.Drift)
		})
		if same >= 0 {
			views[same].Platforms += " and " + v.Platforms
			continue
		}
		views = append(views, v)
	}
	return views
}

// packageTable merges the packages of all platforms.
func (r Report) packageTable() (table []packageView, differ bool) {
	where := map[sbom.Package][]string{}
	platforms := 0
	for _, p := range r.Platforms {
		if len(p.Packages) > 0 {
			platforms++
		}
		for _, pkg := range p.Packages {
			where[pkg] = append(where[pkg], p.Platform)
		}
	}
	for pkg, in := range where {
		row := packageView{Package: pkg}
		if len(in) < platforms {
			row.Only, differ = strings.Join(in, ", "), true
		}
		table = append(table, row)
	}
	slices.SortFunc(table, func(a, b packageView) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), strings.Compare(a.Type, b.Type), strings.Compare(a.Version, b.Version))
	})
	return table, differ
}

// duration formats a time.
func duration(seconds float64) string {
	switch {
	case seconds == 0:
		return "0 s"
	case seconds < 0.9995:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	case seconds < 99.95:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", seconds), ".0") + " s"
	}
	whole := int(math.Round(seconds))
	return fmt.Sprintf("%d min %02d s", whole/60, whole%60)
}

// loopback reports whether a tag is in a registry on a loopback address.
func loopback(reference string) bool {
	return strings.HasPrefix(reference, "127.0.0.1:") || strings.HasPrefix(reference, "localhost:") || strings.HasPrefix(reference, "[::1]:")
}

// command matches a command of this project in a message.
var command = regexp.MustCompile(`go run \./ci( [\w./:-]*[\w/])*`)

// commands returns text as HTML, with commands in code elements.
func commands(text string) template.HTML {
	return template.HTML(command.ReplaceAllString(template.HTMLEscapeString(text), "<code>$0</code>"))
}

// count formats a number with its noun.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// size formats a number of bytes: 10^6 bytes are a megabyte.
func size(bytes int64) string {
	if bytes < 100_000 {
		return fmt.Sprintf("%.1f kB", float64(bytes)/1e3)
	}
	return fmt.Sprintf("%.1f MB", megabytes(bytes))
}

func short(commit string) string { return commit[:min(12, len(commit))] }
