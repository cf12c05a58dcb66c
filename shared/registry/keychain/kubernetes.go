package keychain

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

const (
	// serviceAccountDir is where a pod finds who it is in its cluster.
	serviceAccountDir = "/var/run/secrets/kubernetes.io/serviceaccount"
	// kubernetesPatience bounds each question to the cluster's API.
	kubernetesPatience = 10 * time.Second
	// maxPullSecrets is how many of a service account's secrets are read.
	maxPullSecrets = 32
)

// kubernetes knows the image-pull secrets of the service account that a pod runs as.
// They are read once, when nothing else had an answer.
type kubernetes struct {
	Options
	dir string

	turn    chan struct{} // holds one while somebody looks
	looked  bool
	secrets []pullSecret
	tried   []string
}

type pullSecret struct {
	name   string
	config *config
}

func newKubernetes(o Options) source {
	return &kubernetes{Options: o, dir: serviceAccountDir, turn: make(chan struct{}, 1)}
}

func (k *kubernetes) resolve(ctx context.Context, r authn.Resource) (vouched, []string, error) {
	host := k.Getenv("KUBERNETES_SERVICE_HOST")
	if host == "" {
		return nil, nil, nil
	}
	select {
	case k.turn <- struct{}{}:
		defer func() { <-k.turn }()
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	if !k.looked {
		k.secrets, k.tried = k.look(ctx, host)
		if ctx.Err() != nil {
			return nil, nil, fmt.Errorf("read the cluster's image-pull secrets: %w", context.Cause(ctx))
		}
		k.looked = true
	}
	tried := k.tried
	for _, s := range k.secrets {
		a, key, err := s.config.find(s.name, r)
		switch {
		case err != nil:
			tried = append(tried[:len(tried):len(tried)], err.Error())
		case a == nil:
			tried = append(tried[:len(tried):len(tried)], fmt.Sprintf("%s: no entry for %s", s.name, r.RegistryStr()))
		default:
			return &fixed{*a, fmt.Sprintf("%s (entry %s)", s.name, key)}, nil, nil
		}
	}
	return nil, tried, nil
}

// look reads the service account and its secrets. What cannot be read is said in lines
// for those who wonder: that a pod may not read them is usual.
func (k *kubernetes) look(ctx context.Context, host string) (secrets []pullSecret, tried []string) {
	c, err := k.connect(host)
	if err != nil {
		return nil, []string{"Kubernetes: " + brief(err.Error())}
	}
	var account struct {
		ImagePullSecrets []struct{ Name string }
	}
	if err := c.get(ctx, &account, "serviceaccounts", c.account); err != nil {
		return nil, []string{fmt.Sprintf("Kubernetes service account %s: %s", c.account, brief(err.Error()))}
	}
	if len(account.ImagePullSecrets) == 0 {
		return nil, []string{fmt.Sprintf("Kubernetes service account %s: it has no image-pull secrets", c.account)}
	}
	for _, s := range account.ImagePullSecrets[:min(len(account.ImagePullSecrets), maxPullSecrets)] {
		name := "Kubernetes secret " + s.Name
		config, err := c.secret(ctx, name, s.Name)
		if err != nil {
			tried = append(tried, name+": "+brief(err.Error()))
			continue
		}
		secrets = append(secrets, pullSecret{name, config})
	}
	return secrets, tried
}

// cluster is the API of the cluster that a pod runs in, as the pod may use it.
type cluster struct {
	http      http.RoundTripper
	base      string
	token     string
	namespace string
	account   string
}

// connect reads what is mounted into a pod.
func (k *kubernetes) connect(host string) (*cluster, error) {
	mounted := map[string]string{}
	for _, name := range []string{"token", "namespace", "ca.crt"} {
		raw, err := readFile(filepath.Join(k.dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no %s of a service account is mounted at %s", name, k.dir)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", filepath.Join(k.dir, name), bare(err))
		}
		mounted[name] = strings.TrimSpace(string(raw))
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(mounted["ca.crt"])) {
		return nil, fmt.Errorf("%s holds no certificate", filepath.Join(k.dir, "ca.crt"))
	}
	port := k.Getenv("KUBERNETES_SERVICE_PORT")
	if port == "" {
		port = "443"
	}
	return &cluster{
		// Nothing of the machine's settings applies to the cluster's own API, proxies
		// least of all.
		http:      &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true},
		base:      "https://" + net.JoinHostPort(host, port),
		token:     mounted["token"],
		namespace: mounted["namespace"],
		account:   accountOf(mounted["token"]),
	}, nil
}

// accountOf is the name of the service account that a token is of.
func accountOf(token string) string {
	var claims struct {
		Subject string `json:"sub"` // system:serviceaccount:NAMESPACE:NAME
	}
	if decodeClaims(token, &claims) == nil {
		if parts := strings.Split(claims.Subject, ":"); len(parts) == 4 && parts[3] != "" {
			return parts[3]
		}
	}
	return "default"
}

// get reads an object of the pod's namespace.
func (c *cluster) get(ctx context.Context, into any, kind, name string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, kubernetesPatience, fmt.Errorf("no answer within %v", kubernetesPatience))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet,
		fmt.Sprintf("%s/api/v1/namespaces/%s/%s/%s", c.base, url.PathEscape(c.namespace), kind, url.PathEscape(name)), nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxConfig))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("the answer is not what it should be: %w", located(raw, err))
	}
	return nil
}

// secret reads an image-pull secret, in the form of docker's config.json or in that of
// the file docker had before, which is a list of registries and nothing else.
func (c *cluster) secret(ctx context.Context, title, name string) (*config, error) {
	var said struct {
		Data map[string][]byte
	}
	if err := c.get(ctx, &said, "secrets", name); err != nil {
		return nil, err
	}
	if raw, ok := said.Data[secretName]; ok {
		found, err := parse(title, raw)
		if err != nil {
			return nil, errors.Unwrap(err)
		}
		return found, nil
	}
	raw, ok := said.Data[".dockercfg"]
	if !ok {
		return nil, errors.New("it is no image-pull secret")
	}
	found := &config{}
	if err := json.Unmarshal(raw, &found.Auths); err != nil {
		return nil, located(raw, err)
	}
	return found, nil
}
