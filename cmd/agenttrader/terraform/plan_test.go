// Package terraform holds the plans of terraform/examples against the policy, the table of access and the code. `make
// terraform-check` makes the plans; without them the tests are skipped, and say so.
package terraform

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// plansFolder is the variable that names the folder of {example}.json, each from `terraform show -json`.
const plansFolder = "AGENTTRADER_PLANS"

// examples are the folders of terraform/examples: what they switch on comes to all that Terraform can make, but the console.
var examples = []string{"small", "large", "two-regions"}

// resource is one that a plan makes.
type resource struct {
	Address string
	Type    string
	Index   any
	Values  values
}

type module struct {
	Resources    []resource
	ChildModules []module `json:"child_modules"`
}

// plan is what the tests want of a plan.
type plan struct {
	name string
	root string // the repository's folder that the plan was made of
	all  []resource

	outputs map[string]any
	inputs  map[string]string // descriptions of the root module's variables
	number  string            // the project's
}

const project = "my-project" // of every plan: see the Makefile

// plans are those of all examples.
func plans(t *testing.T) []plan {
	t.Helper()
	folder := os.Getenv(plansFolder)
	if folder == "" {
		t.Skip(plansFolder + " is not set, so there are no plans to look at: make terraform-check sets it")
	}
	root := os.Getenv("AGENTTRADER_PLANS_OF")
	if root == "" {
		root = "../../.."
	}
	var out []plan
	for _, name := range examples {
		out = append(out, readPlan(t, filepath.Join(folder, name+".json"), name, root))
	}
	return out
}

func readPlan(t *testing.T, path, name, root string) plan {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var raw struct {
		Planned struct {
			Root    module `json:"root_module"`
			Outputs map[string]struct{ Value map[string]any }
		} `json:"planned_values"`
		Prior struct {
			Values struct {
				Root module `json:"root_module"`
			}
		} `json:"prior_state"`
		Configuration struct {
			Root struct {
				Calls map[string]struct {
					Module struct {
						Variables map[string]struct{ Description string }
					}
				} `json:"module_calls"`
			} `json:"root_module"`
		}
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	p := plan{name: name, root: root, outputs: raw.Planned.Outputs["agenttrader"].Value, inputs: map[string]string{}}
	p.all = flat(raw.Planned.Root, nil)
	for _, r := range flat(raw.Prior.Values.Root, nil) {
		if r.Type == "google_project" {
			p.number = r.Values.str("number")
		}
	}
	for name, v := range raw.Configuration.Root.Calls["agenttrader"].Module.Variables {
		p.inputs[name] = v.Description
	}
	if len(p.all) < 50 || p.number == "" {
		t.Fatalf("%s: %d resources, project number %q: is it a plan of terraform/examples?", path, len(p.all), p.number)
	}
	return p
}

func flat(m module, out []resource) []resource {
	out = append(out, m.Resources...)
	for _, c := range m.ChildModules {
		out = flat(c, out)
	}
	return out
}

func (p plan) of(types ...string) []resource {
	var out []resource
	for _, r := range p.all {
		if slices.Contains(types, r.Type) {
			out = append(out, r)
		}
	}
	return out
}

// values are a resource's attributes; what is not known before the apply is absent.
type values map[string]any

func (v values) str(name string) string { s, _ := v[name].(string); return s }

func (v values) num(name string) float64 { n, _ := v[name].(float64); return n }

func (v values) is(name string) bool { b, _ := v[name].(bool); return b }

// block is the only one of its name, or empty.
func (v values) block(name string) values {
	if all := v.blocks(name); len(all) == 1 {
		return all[0]
	}
	return values{}
}

func (v values) blocks(name string) []values {
	list, _ := v[name].([]any)
	var out []values
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func (v values) object(name string) values { m, _ := v[name].(map[string]any); return m }

// env is the environment of a Cloud Run service.
func env(service resource) map[string]string {
	out := map[string]string{}
	for _, e := range service.Values.block("template").block("containers").blocks("env") {
		out[e.str("name")] = e.str("value")
	}
	return out
}

// list is a comma-separated variable.
func list(s string) []string { return strings.Split(s, ",") }

// last is what comes after the last slash.
func last(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
