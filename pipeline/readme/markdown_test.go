package readme_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	tables "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/text"
	"go.yaml.in/yaml/v3"
)

// read parses a page like GitHub.
func read(t testing.TB, page string) (ast.Node, []byte) {
	t.Helper()
	md := goldmark.New(goldmark.WithExtensions(extension.GFM))
	if err := md.Convert([]byte(page), &bytes.Buffer{}); err != nil {
		t.Fatalf("the page cannot be rendered: %v", err)
	}
	return md.Parser().Parse(text.NewReader([]byte(page))), []byte(page)
}

func walk(node ast.Node, visit func(ast.Node)) {
	err := ast.Walk(node, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if entering {
			visit(n)
		}
		return ast.WalkContinue, nil
	})
	if err != nil {
		panic(err) // visit returns none
	}
}

func linesOf(n ast.Node, source []byte) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		b.Write(line.Value(source))
	}
	return b.String()
}

// textOf returns the visible text of a node.
func textOf(n ast.Node, source []byte) string {
	var b strings.Builder
	walk(n, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.Text:
			b.Write(n.Segment.Value(source))
			if n.SoftLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(n.Value)
		}
	})
	return b.String()
}

// block returns the first code block of a language that contains all words.
func block(t *testing.T, page, language string, words ...string) string {
	t.Helper()
	root, source := read(t, page)
	found := ""
	walk(root, func(n ast.Node) {
		code, ok := n.(*ast.FencedCodeBlock)
		if !ok || found != "" || string(code.Language(source)) != language {
			return
		}
		body := linesOf(code, source)
		if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(body, word) }) {
			found = body
		}
	})
	if found == "" {
		t.Fatalf("there is no %s block with %q", language, words)
	}
	return found
}

var (
	slugDrop = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	slugGaps = regexp.MustCompile(`[-\s]+`)
	knownTag = regexp.MustCompile(`^<(!--|/?(a|br|wbr|code|style|details|summary|picture|source|img)\b)`)
)

// The anchors of GitHub and MkDocs for a heading.
func anchorGitHub(heading string) string {
	return strings.ReplaceAll(slugDrop.ReplaceAllString(strings.ToLower(heading), ""), " ", "-")
}

func anchorMkDocs(heading string) string {
	return slugGaps.ReplaceAllString(strings.TrimSpace(slugDrop.ReplaceAllString(strings.ToLower(heading), "")), "-")
}

// anchorsOf returns the anchors of another page of the repository.
func anchorsOf(t testing.TB, page string) map[string]bool {
	root, source := read(t, page)
	anchors := map[string]bool{}
	walk(root, func(n ast.Node) {
		if heading, ok := n.(*ast.Heading); ok {
			anchors[anchorGitHub(textOf(heading, source))] = true
		}
	})
	return anchors
}

// checkMarkdown reports Markdown that would not be rendered as intended. dir is the
// directory for relative links.
func checkMarkdown(t testing.TB, page, dir string, anchor func(heading string) string) {
	t.Helper()
	root, source := read(t, page)
	anchors := map[string]bool{}
	walk(root, func(n ast.Node) {
		if heading, ok := n.(*ast.Heading); ok {
			a := anchor(textOf(heading, source))
			if anchors[a] {
				t.Errorf("two headings have the anchor #%s", a)
			}
			anchors[a] = true
		}
	})
	target := func(kind, to string) {
		switch {
		case strings.HasPrefix(to, "#"):
			if !anchors[to[1:]] {
				t.Errorf("the %s %s leads nowhere", kind, to)
			}
		case !strings.HasPrefix(to, "https://"):
			file, anchor, _ := strings.Cut(to, "#")
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				if info, e := os.Stat(filepath.Join(dir, file)); e != nil || !info.IsDir() {
					t.Errorf("the %s is not there: %v", kind, err)
				}
			} else if anchor != "" && !anchorsOf(t, string(text))[anchor] {
				t.Errorf("the %s %s leads nowhere", kind, to)
			}
		}
	}
	rows := 0
	walk(root, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.Link:
			target("link", string(n.Destination))
			if textOf(n, source) == "" && n.FirstChild() == nil {
				t.Errorf("the link to %s has no text", n.Destination)
			}
		case *ast.Image:
			target("image", string(n.Destination))
			if textOf(n, source) == "" {
				t.Errorf("the image %s has no text for those who do not see it", n.Destination)
			}
		case *ast.RawHTML:
			for i := range n.Segments.Len() {
				segment := n.Segments.At(i)
				checkTag(t, string(segment.Value(source)), target)
			}
		case *ast.HTMLBlock:
			for line := range strings.Lines(linesOf(n, source)) {
				if line = strings.TrimSpace(line); line != "" {
					checkTag(t, line, target)
				}
			}
		case *ast.CodeBlock:
			t.Errorf("an indented line became code:\n%s", linesOf(n, source))
		case *ast.FencedCodeBlock:
			checkCode(t, string(n.Language(source)), linesOf(n, source))
		case *tables.Table:
			rows += n.ChildCount() + 1 // its delimiter row
		case *ast.Text:
			if said := string(n.Segment.Value(source)); n.Parent().Kind() != ast.KindCodeSpan && strings.Contains(said, "](") {
				t.Errorf("what should be a link is not: %s", said)
			}
		}
	})
	// A broken table row is parsed as text.
	inCode := false
	for line := range strings.Lines(page) {
		if fences(line) {
			inCode = !inCode
		}
		if !inCode && strings.HasPrefix(strings.TrimLeft(line, "> "), "|") {
			rows--
		}
	}
	if rows != 0 {
		t.Errorf("%d lines that look like rows of tables are none", -rows)
	}
}

// fences reports whether a line starts or ends a code block.
func fences(line string) bool {
	line = strings.TrimLeft(line, "> ")
	return strings.HasPrefix(line, "```") || strings.HasPrefix(line, "~~~")
}

// checkTag reports unintended HTML: text such as <your-ip> would vanish from the
// page.
func checkTag(t testing.TB, tag string, target func(kind, to string)) {
	t.Helper()
	if !knownTag.MatchString(tag) {
		t.Errorf("readers do not see %s", tag)
	}
	for _, m := range regexp.MustCompile(`\b(?:src|srcset)="([^"]*)"`).FindAllStringSubmatch(tag, -1) {
		target("image", m[1])
	}
}

func checkCode(t testing.TB, language, code string) {
	t.Helper()
	switch language {
	case "yaml":
		var any map[string]any
		if err := yaml.Unmarshal([]byte(code), &any); err != nil || len(any) == 0 {
			t.Errorf("a YAML block does not parse: %v\n%s", err, code)
		}
	case "bash":
		cmd := exec.Command("bash", "-n")
		cmd.Stdin = strings.NewReader(code)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("a shell block does not parse: %v\n%s%s", err, out, code)
		}
	case "":
		t.Errorf("a code block names no language:\n%s", code)
	}
}

var admonition = regexp.MustCompile(`^(\?\?\?|!!!) (info|tip|warning|danger)( "[^"]+")?$`)

// checkSite reports Markdown that MkDocs would not render as intended.
func checkSite(t testing.TB, page string) {
	t.Helper()
	front, rest, ok := strings.Cut(strings.TrimPrefix(page, "---\n"), "\n---\n")
	var head struct {
		Title, Description string
		Tags               []string
	}
	if err := yaml.Unmarshal([]byte(front), &head); !ok || err != nil || head.Title == "" || head.Description == "" || strings.Contains(head.Description, "\n") {
		t.Errorf("the front matter is not sound: %v\n%s", err, front)
	}
	inCode, last := false, ""
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		trimmed := strings.TrimLeft(line, " ")
		if !inCode && !admonition.MatchString(line) && (strings.HasPrefix(line, "!!!") || strings.HasPrefix(line, "???") ||
			strings.Contains(line, "> [!") || strings.Contains(line, "<details>")) {
			t.Errorf("MkDocs knows no such block: %s", line)
		}
		if fences(line) {
			inCode = !inCode
		}
		if listed(trimmed) && !inCode {
			if (len(line)-len(trimmed))%4 != 0 {
				t.Errorf("MkDocs wants lists indented by four: %q", line)
			}
			if last != "" && !listed(strings.TrimLeft(last, " ")) {
				t.Errorf("MkDocs wants an empty line before a list: %q, %q", last, line)
			}
		}
		last = line
	}
	checkMarkdown(t, asGitHub(rest), root, anchorMkDocs)
}

func listed(line string) bool { return strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "- ") }

// asGitHub converts admonitions and collapsible blocks to quotes.
func asGitHub(page string) string {
	var github []string
	inside := false
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case admonition.MatchString(line):
			inside = true
			github = append(github, "> **"+line+"**", ">")
		case inside && (line == "" || strings.HasPrefix(line, "    ")):
			github = append(github, "> "+strings.TrimPrefix(line, "    "))
		default:
			if inside {
				github = append(github, "")
			}
			inside = false
			github = append(github, line)
		}
	}
	return strings.Join(github, "\n") + "\n"
}

// recorder is a testing.TB that records a failure.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

func (r *recorder) Fatalf(string, ...any) {
	r.failed = true
	runtime.Goexit()
}

func failing(t *testing.T, check func(testing.TB)) bool {
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		check(r)
	}()
	<-done
	return r.failed
}

func TestTheChecksOfMarkdownTurnRed(t *testing.T) {
	for name, page := range map[string]string{
		"anchor":    "# A\n\n[x](#b)\n",
		"file":      "[x](no-such-file)\n",
		"elsewhere": "[x](LICENSE#no-such-heading)\n",
		"twice":     "# A\n\n## A\n",
		"tag":       "Pull <version tag> now.\n",
		"language":  "```\nx\n```\n",
		"yaml":      "```yaml\na: [\n```\n",
		"shell":     "```bash\nif\n```\n",
		"table":     "| a | b |\n| x | y |\n",
		"link":      "[a](b c)\n",
		"alt":       "![](https://example.com/x.png)\n",
		"indented":  "text\n\n        code\n",
	} {
		if !failing(t, func(t testing.TB) { checkMarkdown(t, page, root, anchorGitHub) }) {
			t.Errorf("%s: nothing is found in %q", name, page)
		}
	}
	const front = "---\ntitle: x\ndescription: y\n---\n"
	for name, page := range map[string]string{
		"front matter": "# A\n",
		"call-out":     front + "> [!NOTE]\n> x\n",
		"list":         front + "text\n* item\n",
		"nested list":  front + "* item\n  * inner\n",
		"admonition":   front + "!!! shouting\n\n    x\n",
		"inside":       front + "!!! info\n\n    [x](#nowhere)\n",
	} {
		if !failing(t, func(t testing.TB) { checkSite(t, page) }) {
			t.Errorf("%s: nothing is found in %q", name, page)
		}
	}
}

func TestREADMEIsSoundMarkdown(t *testing.T) {
	checkMarkdown(t, page(t), root, anchorGitHub)
}

// README.md links to every page of docs.
func TestPagesUnderDocsAreSoundAndLinked(t *testing.T) {
	files, err := filepath.Glob(root + "docs/*.md")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	linked := page(t)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		checkMarkdown(t, string(text), root+"docs", anchorGitHub)
	}
	for _, file := range files {
		if !strings.Contains(linked, "](docs/"+filepath.Base(file)) {
			t.Errorf("README.md does not link to docs/%s", filepath.Base(file))
		}
	}
}
