package registrytest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/servertest"
)

// Nginx runs nginx on a free loopback port until the test is over, and returns its host.
// server is what stands in the server block of its configuration, and outside, if any,
// what stands around that. Without the program the test is skipped.
func Nginx(t testing.TB, server string, outside ...string) string {
	t.Helper()
	path := program(t, "nginx", "nginx-light")
	dir, host := t.TempDir(), servertest.FreeAddress(t)
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	around := ""
	for _, o := range outside {
		around += o + "\n"
	}
	config := fmt.Sprintf(`daemon off; master_process off; pid nginx.pid; error_log stderr error;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
	%s
	server {
		listen %s;
		proxy_set_header Host $http_host;
		proxy_http_version 1.1;
		%s
	}
}
`, around, host, server)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	servertest.Run(t, host, exec.Command(path, "-p", dir+"/", "-c", file, "-e", "stderr"))
	return host
}

// Squid runs squid as an HTTP proxy on a free loopback port until the test is over, and
// returns its host. It takes the names in hosts for addresses of this machine; no
// one else needs to know them. Without the program the test is skipped.
func Squid(t testing.TB, hosts ...string) string {
	t.Helper()
	path := program(t, "squid", "squid")
	dir, host := t.TempDir(), servertest.FreeAddress(t)
	// As root it becomes another user, who is to get in.
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, h := range hosts {
		names += "127.0.0.1 " + h + "\n"
	}
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		t.Fatal(err)
	}
	known := filepath.Join(dir, "hosts")
	config := fmt.Sprintf(`http_port 127.0.0.1:%s
http_access allow all
hosts_file %s
visible_hostname proxy.test
pid_filename none
cache deny all
access_log none
cache_log /dev/null
cache_store_log none
netdb_filename none
coredump_dir /
shutdown_lifetime 0 seconds
icp_port 0
`, port, known)
	file := filepath.Join(dir, "squid.conf")
	for name, content := range map[string]string{known: names, file: config} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	servertest.Run(t, host, exec.Command(path, "-N", "-f", file))
	return host
}
