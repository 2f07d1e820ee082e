package base

import (
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestTheHostsMirrorsAreUsedForAnotherSuite(t *testing.T) {
	a, err := translate(strings.Join([]string{
		"Debian\thttp://joe:s3cret@mirror.example/debian/\tbookworm\tmain",
		"Debian\thttp://joe:s3cret@mirror.example/debian/\tbookworm\tmain", // listed once per architecture
		"Debian\thttp://joe:s3cret@mirror.example/debian/\tbookworm\tcontrib",
		"Debian\thttp://mirror.example/debian/\tbookworm-updates\tmain",
		"Debian\thttps://mirror.example/security/\tbookworm-security\tmain",
		"Debian\thttp://mirror.example/debian/\tbookworm-backports\tmain",
		"Someone\thttps://apt.example/\tbookworm\tmain",
		"",
	}, "\n"), "bookworm", "trixie")
	if err != nil {
		t.Fatal(err)
	}
	const want = "deb http://joe:s3cret@mirror.example/debian/ trixie main\n" +
		"deb http://mirror.example/debian/ trixie-updates main\n" +
		"deb https://mirror.example/security/ trixie-security main\n"
	if a.sources != want {
		t.Errorf("sources are\n%s, expected\n%s", a.sources, want)
	}
	if got := a.imageSources(); strings.Contains(got, "s3cret") || strings.Contains(got, "joe") ||
		!strings.Contains(got, "deb [signed-by="+keyring+"] http://mirror.example/debian/ trixie main\n") {
		t.Errorf("the image gets\n%s", got)
	}
	var log strings.Builder
	l := newLog(&log, "", a.secrets)
	l.Write([]byte("Err http://joe:s3cret@mirror.example/debian and s3cret alone\n"))
	if got := log.String(); got != "Err http://***@mirror.example/debian and *** alone\n" {
		t.Errorf("the log shows %q", got)
	}
}

func TestSidHasNoUpdates(t *testing.T) {
	a, err := translate("Debian\thttp://mirror.example/debian/\tbookworm\tmain\nDebian\thttp://mirror.example/security/\tbookworm-security\tmain\n", "bookworm", "sid")
	if err != nil || a.sources != "deb http://mirror.example/debian/ sid main\n" {
		t.Errorf("sources are %q, %v", a.sources, err)
	}
}

func TestAHostWithoutADebianMirrorIsReported(t *testing.T) {
	_, err := translate("Someone\thttps://apt.example/\tbookworm\tmain\n", "bookworm", "trixie")
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "bookworm") {
		t.Errorf("got %v", err)
	}
}

func TestProxiesAreKeptAndTimeoutsAreLimited(t *testing.T) {
	got := networkSettings("APT::Architecture \"amd64\";\nAcquire \"\";\nAcquire::http \"\";\nAcquire::http::Proxy \"http://proxy.example:3128\";\n" +
		"Acquire::https::CAInfo \"/etc/ssl/extra.pem\";\nAcquire::Check-Valid-Until \"false\";\nDPkg::Post-Invoke:: \"rm -rf /\";\n")
	for _, want := range []string{`Acquire::Retries "3";`, `Acquire::http::Timeout "20";`, `Acquire::http::Proxy "http://proxy.example:3128";`, `Acquire::https::CAInfo "/etc/ssl/extra.pem";`, `Acquire::Check-Valid-Until "false";`} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	for _, unwanted := range []string{"Post-Invoke", "Architecture", `http "";`} {
		if strings.Contains(got, unwanted) {
			t.Errorf("%s in\n%s", unwanted, got)
		}
	}
}

func TestAnUnreachableMirrorIsNamed(t *testing.T) {
	a := apt{sources: "deb http://joe:s3cret@mirror.example/debian/ trixie main\n"}
	got := a.fetchError([]string{
		"I: running apt-get update...",
		"Err:1 http://mirror.example/debian trixie InRelease",
		"  Could not connect to mirror.example:80",
		"E: Failed to fetch http://mirror.example/debian/dists/trixie/InRelease  Could not connect",
	})
	if !strings.Contains(got, "http://mirror.example/debian/: Could not connect to mirror.example:80") || strings.Contains(got, "\n") {
		t.Errorf("got %q", got)
	}
	if got := a.fetchError([]string{"E: broken packages"}); got != "" {
		t.Errorf("blamed a mirror: %q", got)
	}
}
