//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// features are rows of the table "what a Dockerfile needs" in docs/kubernetes.md.
func features() []feature {
	return []feature{
		{name: "run", lines: "RUN true", needs: "SETGID", isolated: true},
		{name: "user", lines: "USER 12:34\nRUN id", needs: "SETGID SETUID", isolated: true},
		{name: "owner", lines: "RUN touch /f && chown 12:34 /f", needs: "SETGID CHOWN", isolated: true},
		{name: "mode", lines: "RUN touch /f && chown 12:34 /f && chmod 600 /f", needs: "SETGID CHOWN FOWNER", isolated: true},
		{name: "private", lines: "RUN mkdir /d && chown 12:34 /d\nUSER 12:34\nRUN chmod 700 /d && touch /d/f", needs: "SETGID CHOWN SETUID DAC_OVERRIDE", isolated: true},
		{name: "left", lines: "USER 12:34\nRUN sleep 600 &", needs: "SETGID SETUID KILL", isolated: true},
		{name: "node", lines: "RUN mknod /n c 1 3", needs: "SETGID MKNOD", isolated: false},
		{name: "chroot", lines: "RUN chroot / /bin/true", needs: "SETGID SYS_CHROOT", isolated: true},
		{name: "mount", lines: "RUN mkdir /m && mount -t tmpfs none /m", isolated: false},
	}
}

type feature struct {
	name  string
	lines string // of a Dockerfile, after its FROM
	// needs are the capabilities for a build in place, the last of them for this feature; none: it cannot be done.
	needs string
	// isolated says that it can be done with the capabilities of build-isolated.
	isolated bool
}

// trial is a pod that builds something, and what is to come of it.
type trial struct {
	name string
	caps []string
	feature
	isolated, works bool
}

func trials() []trial {
	var all []trial
	for _, f := range features() {
		all = append(all, trial{name: f.name + "-isolated", feature: f, isolated: true, works: f.isolated, caps: strings.Fields("SETFCAP SETGID SETUID")})
		needs := strings.Fields(f.needs)
		if len(needs) == 0 {
			every := strings.Fields("CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE SETFCAP SETGID SETUID SYS_CHROOT")
			all = append(all, trial{name: f.name + "-with", feature: f, caps: every})
			continue
		}
		all = append(all, trial{name: f.name + "-with", feature: f, caps: needs, works: true},
			trial{name: f.name + "-without", feature: f, caps: needs[:len(needs)-1]})
	}
	return all
}

// The table of docs/kubernetes.md: what a build can do with which capabilities, in place and isolated, and that it cannot with one less.
func (c *cluster) testFeatures(t *testing.T) {
	data := map[string]string{}
	for _, f := range features() {
		data[f.name] = "FROM " + c.Registry + "/base/debian\n" + f.lines + "\n"
	}
	config, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "features"}, "data": data})
	if err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, string(config), "create", "-f", "-")
	var pods strings.Builder
	for _, x := range trials() {
		pods.WriteString(c.trialPod(t, x))
	}
	c.kubectl(t, pods.String(), "create", "-f", "-")
	defer c.kubectl(t, "", "delete", "pods", "-l", "trial", "--force", "--grace-period=0")
	phases := c.phases(t)
	for _, x := range trials() {
		if want := map[bool]string{true: "Succeeded", false: "Failed"}[x.works]; phases[x.name] != want {
			log, _ := c.tryKubectl(t, "", "logs", x.name, "--tail=30")
			t.Errorf("%s with %v: %s, want %s\n%s", x.name, x.caps, phases[x.name], want, log)
		}
	}
}

func (c *cluster) trialPod(t *testing.T, x trial) string {
	t.Helper()
	args := []string{"--no-push", "--dockerfile=" + x.feature.name, "--insecure-registry=" + c.Registry}
	security := map[string]any{"allowPrivilegeEscalation": false, "capabilities": map[string]any{"drop": []string{"ALL"}, "add": x.caps}}
	if x.isolated {
		args = append(args, "--isolation=namespaces", "--kaniko-dir=/layers")
	} else {
		security["seccompProfile"] = map[string]string{"type": "RuntimeDefault"}
	}
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": x.name, "labels": map[string]string{"trial": x.feature.name}},
		"spec": map[string]any{
			"restartPolicy": "Never", "hostNetwork": true, "automountServiceAccountToken": false,
			"containers": []any{map[string]any{
				"name": "executor", "image": "localhost/executor:test", "args": args, "securityContext": security,
				"volumeMounts": []any{
					map[string]any{"name": "source", "mountPath": "/workspace"}, map[string]any{"name": "layers", "mountPath": "/layers"},
					map[string]any{"name": "registry", "mountPath": "/kaniko/.docker"},
				},
			}},
			"volumes": []any{
				map[string]any{"name": "source", "configMap": map[string]string{"name": "features"}}, map[string]any{"name": "layers", "emptyDir": map[string]any{}},
				map[string]any{"name": "registry", "secret": map[string]string{"secretName": "registry"}},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s\n---\n", text)
}

// phases waits until all trials have ended.
func (c *cluster) phases(t *testing.T) map[string]string {
	t.Helper()
	phases := map[string]string{}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Second) {
		var list struct{ Items []pod }
		c.get(t, &list, "pods", "-l", "trial")
		done := true
		for _, p := range list.Items {
			phases[p.Metadata.Name] = p.Status.Phase
			done = done && (p.Status.Phase == "Succeeded" || p.Status.Phase == "Failed")
		}
		if done {
			return phases
		}
	}
	return phases
}
