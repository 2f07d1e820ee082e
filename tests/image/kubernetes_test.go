package image

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The example for Kubernetes only uses variables, the port and probe paths of the
// image, and objects that it defines.
func TestTheExampleForKubernetesFitsTheImage(t *testing.T) {
	known := variables(t)
	type probe struct {
		HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
	}
	type object struct {
		Kind       string
		Metadata   struct{ Name string }
		StringData map[string]string `yaml:"stringData"`
		Spec       struct {
			Selector any
			Template struct {
				Spec struct {
					Containers []struct {
						Env     []struct{ Name, Value string }
						EnvFrom []struct {
							SecretRef struct{ Name string } `yaml:"secretRef"`
						} `yaml:"envFrom"`
						Ports []struct {
							Name          string
							ContainerPort int `yaml:"containerPort"`
						}
						StartupProbe   probe `yaml:"startupProbe"`
						LivenessProbe  probe `yaml:"livenessProbe"`
						ReadinessProbe probe `yaml:"readinessProbe"`
					}
				}
			}
			Ports []struct {
				TargetPort string `yaml:"targetPort"`
			}
		}
	}
	objects := map[string]object{}
	decoder := yaml.NewDecoder(bytes.NewReader([]byte(read(t, "docs/kubernetes.yaml"))))
	for {
		var o object
		if err := decoder.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects[o.Kind] = o
	}
	containers := objects["Deployment"].Spec.Template.Spec.Containers
	if len(containers) != 1 || len(containers[0].EnvFrom) != 1 || len(containers[0].Ports) != 1 || len(objects["Service"].Spec.Ports) != 1 {
		t.Fatalf("want one container with one Secret and one port, and a Service of one port: %+v", containers)
	}
	c := containers[0]
	set := map[string]bool{}
	for _, v := range c.Env {
		set[v.Name] = true
	}
	if secret := objects["Secret"]; c.EnvFrom[0].SecretRef.Name != secret.Metadata.Name {
		t.Errorf("the Secret is %q, the container names %q", secret.Metadata.Name, c.EnvFrom[0].SecretRef.Name)
	}
	for name := range objects["Secret"].StringData {
		set[name] = true
	}
	for name := range set {
		if !known[name] {
			t.Errorf("the image has no variable %s", name)
		}
	}
	for _, name := range []string{"ALLOWED_HOST", "DB_USER", "SUPERUSER_PASSWORD"} {
		if !set[name] {
			t.Errorf("%s is required and not set", name)
		}
	}
	port := c.Ports[0]
	if exposed := regexp.MustCompile(`(?m)^EXPOSE (\d+)$`).FindStringSubmatch(read(t, "Dockerfile")); exposed[1] != "8000" || port.ContainerPort != 8000 {
		t.Errorf("the image exposes %s, the container names %d", exposed[1], port.ContainerPort)
	}
	if target := objects["Service"].Spec.Ports[0].TargetPort; target != port.Name {
		t.Errorf("the Service goes to port %q, want %q", target, port.Name)
	}
	served := read(t, "root/opt/netbox/lib/netbox_container/web.py")
	for want, p := range map[string]probe{"/ready": c.ReadinessProbe, "/live": c.LivenessProbe} {
		if p.HTTPGet.Path != want || p.HTTPGet.Port != port.Name || !strings.Contains(served, "location = "+want+" {") {
			t.Errorf("a probe asks %+v, want %s, which the image serves", p.HTTPGet, want)
		}
	}
	if c.StartupProbe.HTTPGet != c.ReadinessProbe.HTTPGet {
		t.Errorf("the start is over at %+v, want what readiness asks: %+v", c.StartupProbe.HTTPGet, c.ReadinessProbe.HTTPGet)
	}
}

// variables returns the names of all variables in README.md.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	var facts struct {
		Environment []struct {
			Env string `yaml:"env_var"`
		} `yaml:"param_env_vars"`
		OptionalVars []struct {
			Env string `yaml:"env_var"`
		} `yaml:"opt_param_env_vars"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "readme-vars.yml")), &facts); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"PUID": true, "PGID": true, "TZ": true}
	for _, v := range append(facts.Environment, facts.OptionalVars...) {
		known[v.Env] = true
	}
	return known
}

// docs/migration.md maps the variables of another image to variables of this one.
func TestVariablesOfAnotherImageBecomeThoseOfThisOne(t *testing.T) {
	known := variables(t)
	_, section, found := strings.Cut(read(t, "docs/migration.md"), "\n## Variables of netbox-docker\n")
	section, _, ended := strings.Cut(section, "\n## ")
	kept, table, cut := strings.Cut(section, "keep their names.")
	if !found || !ended || !cut {
		t.Fatal("docs/migration.md has no section of variables that keep their names, with a table of those that do not")
	}
	name := regexp.MustCompile("`(?:FILE__)?([A-Z][A-Z_]+[A-Z])(?:[=`])")
	var ours []string
	for _, m := range name.FindAllStringSubmatch(kept, -1) {
		ours = append(ours, m[1])
	}
	for row := range strings.Lines(table) {
		if cells := strings.Split(row, "|"); len(cells) == 4 {
			for _, m := range name.FindAllStringSubmatch(cells[2], -1) {
				ours = append(ours, m[1])
			}
		}
	}
	if len(ours) < 20 {
		t.Fatalf("only %q were found", ours)
	}
	for _, v := range ours {
		if !known[v] && !strings.HasPrefix(v, "NETBOX__") { // these are settings of NetBox
			t.Errorf("docs/migration.md names %s, which the image does not have", v)
		}
	}
}
