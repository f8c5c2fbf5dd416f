// Package deploy holds the manifests against the real types, and their figures against each other.
package deploy

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// manifests reads kubernetes.yaml strictly: an unknown or doubled member is an error.
func manifests(t *testing.T) (d apps.Deployment, s core.Service, b policy.PodDisruptionBudget, h autoscaling.HorizontalPodAutoscaler) {
	t.Helper()
	all, err := os.ReadFile("kubernetes.yaml")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, text := range bytes.Split(all, []byte("\n---\n")) {
		var kind meta.TypeMeta
		if err := yaml.Unmarshal(text, &kind); err != nil {
			t.Fatal(err)
		}
		to, ok := map[string]any{"v1 Service": &s, "apps/v1 Deployment": &d, "policy/v1 PodDisruptionBudget": &b,
			"autoscaling/v2 HorizontalPodAutoscaler": &h}[kind.APIVersion+" "+kind.Kind]
		if !ok || seen[kind.Kind] {
			t.Fatalf("%s %s is not expected here", kind.APIVersion, kind.Kind)
		}
		seen[kind.Kind] = true
		if err := yaml.UnmarshalStrict(text, to); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
	}
	if len(seen) != 4 {
		t.Errorf("only %v", seen)
	}
	return d, s, b, h
}

// option returns the value of a flag of the container.
func option(t *testing.T, args []string, name string) string {
	t.Helper()
	i := slices.Index(args, name)
	if i < 0 || i+1 == len(args) {
		t.Fatalf("%s is not in %v", name, args)
	}
	return args[i+1]
}

func duration(t *testing.T, word string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(word)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestManifests: what selects matches, probes and ports meet what the arguments say, and there is time to drain.
func TestManifests(t *testing.T) {
	d, s, b, h := manifests(t)
	pod := d.Spec.Template
	for what, selector := range map[string]map[string]string{"Service": s.Spec.Selector, "Deployment": d.Spec.Selector.MatchLabels, "PodDisruptionBudget": b.Spec.Selector.MatchLabels} {
		for k, v := range selector {
			if pod.Labels[k] != v {
				t.Errorf("%s selects %s=%s, the pod has %q", what, k, v, pod.Labels[k])
			}
		}
		if len(selector) == 0 {
			t.Errorf("%s selects every pod", what)
		}
	}
	c := pod.Spec.Containers[0]
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if ports[s.Spec.Ports[0].TargetPort.StrVal] != 8080 || !slices.Contains(c.Args, ":8080") {
		t.Errorf("the service goes to %v, the relay listens by %v", s.Spec.Ports, c.Args)
	}
	if option(t, c.Args, "--stats") != "0.0.0.0:9100" || ports["stats"] != 9100 || pod.Annotations["prometheus.io/port"] != "9100" {
		t.Errorf("statistics are on %v", ports)
	}
	for path, probe := range map[string]*core.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
		if probe.HTTPGet.Path != path || probe.HTTPGet.Port.StrVal != "stats" {
			t.Errorf("the probe of %s is %v", path, probe.HTTPGet)
		}
	}
	ends := duration(t, option(t, c.Args, "--grace")) + duration(t, option(t, c.Args, "--drain"))
	if limit := time.Duration(*pod.Spec.TerminationGracePeriodSeconds) * time.Second; limit < ends+5*time.Second {
		t.Errorf("%v are too short for a grace and a drain of %v", limit, ends)
	}
	if noticed := time.Duration(c.ReadinessProbe.PeriodSeconds*c.ReadinessProbe.FailureThreshold) * time.Second; noticed >= duration(t, option(t, c.Args, "--grace")) {
		t.Errorf("it takes %v to notice that a relay ends", noticed)
	}
	if h.Spec.ScaleTargetRef.Name != d.Name || h.Spec.Metrics[0].Pods.Metric.Name != "zcp_relay_connections" || *h.Spec.MinReplicas < 2 {
		t.Errorf("the autoscaler is %+v", h.Spec)
	}
}

// TestRestricted: the pod is admitted at the restricted level of the Pod Security Standards.
func TestRestricted(t *testing.T) {
	d, _, _, _ := manifests(t)
	pod := d.Spec.Template.Spec
	c := pod.Containers[0]
	switch {
	case pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Volumes) > 0:
		t.Error("it shares something with the host")
	case !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0:
		t.Error("it runs as root")
	case pod.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
		t.Error("it has no seccomp profile")
	case *c.SecurityContext.AllowPrivilegeEscalation || !*c.SecurityContext.ReadOnlyRootFilesystem:
		t.Error("it can gain privileges or write to its root")
	case len(c.SecurityContext.Capabilities.Add) > 0 || !slices.Contains(c.SecurityContext.Capabilities.Drop, "ALL"):
		t.Error("it keeps capabilities")
	case c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero():
		t.Error("it has no resources")
	}
}

// A composed is what the compose file may have.
type composed struct {
	Services map[string]struct {
		Image       string         `json:"image"`
		Command     []string       `json:"command"`
		Ports       []string       `json:"ports"`
		User        string         `json:"user"`
		ReadOnly    bool           `json:"read_only"`
		CapDrop     []string       `json:"cap_drop"`
		SecurityOpt []string       `json:"security_opt"`
		StopGrace   string         `json:"stop_grace_period"`
		MemLimit    string         `json:"mem_limit"`
		Ulimits     map[string]int `json:"ulimits"`
		Restart     string         `json:"restart"`
	} `json:"services"`
}

// TestCompose: the same restrictions, and time to drain.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all composed
	if err := yaml.UnmarshalStrict(text, &all); err != nil {
		t.Fatal(err)
	}
	c := all.Services["relay"]
	if !c.ReadOnly || !slices.Equal(c.CapDrop, []string{"ALL"}) || strings.HasPrefix(c.User, "0") || len(c.SecurityOpt) == 0 {
		t.Errorf("it is not restricted: %+v", c)
	}
	if duration(t, c.StopGrace) < duration(t, option(t, c.Command, "--drain"))+3*time.Second {
		t.Errorf("%s are too short for the drain", c.StopGrace)
	}
}
