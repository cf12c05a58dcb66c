package registry_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// TestReal_proxy: registries are reached over the proxy that the environment names. Only
// squid knows the names that are used here, so nothing else leads there.
func TestReal_proxy(t *testing.T) {
	if os.Getenv("TEST_PROXY_REGISTRY") != "" {
		t.Skip("this is the process that uses the proxy")
	}
	squid := registrytest.Squid(t, "secure.test", "plain.test")
	ca := registrytest.NewAuthority(t)
	secure := registrytest.Real(t, registrytest.RealConfig{TLS: ca.Issue(t, "secure.test")})
	plain := registrytest.Real(t, registrytest.RealConfig{})
	for name, host := range map[string]string{"secure.test": secure, "plain.test": plain} {
		t.Run(name, func(t *testing.T) {
			_, port, err := net.SplitHostPort(host)
			if err != nil {
				t.Fatal(err)
			}
			// The environment is looked at once in a process, hence another.
			cmd := exec.Command(os.Args[0], "-test.run=^TestReal_proxyUser$", "-test.v")
			for _, e := range os.Environ() {
				if name, _, _ := strings.Cut(e, "="); !strings.HasSuffix(strings.ToLower(name), "_proxy") {
					cmd.Env = append(cmd.Env, e)
				}
			}
			cmd.Env = append(cmd.Env, "HTTP_PROXY=http://"+squid, "HTTPS_PROXY=http://"+squid,
				"TEST_PROXY_REGISTRY="+net.JoinHostPort(name, port), "TEST_PROXY_AUTHORITY="+ca.File)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "--- PASS") {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// TestReal_proxyUser is what TestReal_proxy runs in a process of its own.
func TestReal_proxyUser(t *testing.T) {
	host := os.Getenv("TEST_PROXY_REGISTRY")
	if host == "" {
		t.Skip("TestReal_proxy runs this")
	}
	o := registry.Options{Authorities: []string{host + "=" + os.Getenv("TEST_PROXY_AUTHORITY")}}
	if strings.HasPrefix(host, "plain") {
		o = registry.Options{InsecureRegistries: []string{host}}
	}
	c := client(t, registry.Config{Options: o})
	img := image(t, 2, mebi)
	if err := c.PushImage(context.Background(), tag(t, c, host+"/app:1"), img); err != nil {
		t.Fatal(err)
	}
	if err := pullAll(client(t, registry.Config{Options: o}), host+"/app:1", img); err != nil {
		t.Error(err)
	}
}
