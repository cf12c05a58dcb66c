package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
)

// maxPassword bounds what is read as a password, in bytes. Tokens and keys of service
// accounts have a few thousand.
const maxPassword = 64 << 10

// loginFlags are those of login.
type loginFlags struct {
	user     string
	password string
	stdin    bool
	config   string
	registry registry.Options
}

func (f *loginFlags) bind(fs *pflag.FlagSet) {
	fs.StringVarP(&f.user, "username", "u", "", "`user` to log in as")
	fs.StringVarP(&f.password, "password", "p", "", "`password` or token; other users of this machine can see it here")
	fs.BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input")
	f.registry.BindTrust(fs)
	bindConfig(fs, &f.config)
	command.CommandLineOnly(fs, "password", "password-stdin") // the one warns of the other
}

func bindConfig(fs *pflag.FlagSet, dir *string) {
	fs.StringVar(dir, "config", "", "`directory` of config.json (default $DOCKER_CONFIG, else /kaniko/.docker where kaniko's directory is, else ~/.docker)")
}

// check finds what is wrong with the flags.
func (f *loginFlags) check() error {
	switch {
	case f.user == "":
		return errors.New("no --username to log in as")
	case strings.Contains(f.user, ":"):
		return errors.New("--username must not hold a colon")
	case f.stdin && f.password != "":
		return errors.New("--password and --password-stdin: give one of them")
	case !f.stdin && f.password == "":
		return errors.New("no password: give --password-stdin and write it there")
	}
	return nil
}

func loginCommand(env *command.Env) *cobra.Command {
	var f loginFlags
	cmd := &cobra.Command{
		Use:   "login [SERVER]",
		Short: "Check credentials for a registry, and keep them for builds",
		Long: `login asks the registry SERVER, Docker Hub if none is given, whether it lets a
user in, and writes the user's credentials to config.json as docker login does. If
that file names a program that keeps credentials, the program is given them.

echo "$TOKEN" | executor login registry.example.com -u robot --password-stdin`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return command.UsageError(cmd, "%v", err)
			}
			if f.stdin {
				password, err := readPassword(env.Stdin)
				if err != nil {
					return command.UsageError(cmd, "--password-stdin: %v", err)
				}
				f.password = password
			} else {
				env.Log.Warn("a password on the command line can be seen by others: --password-stdin is safer")
			}
			return f.login(cmd.Context(), env, first(args))
		},
	}
	f.bind(cmd.Flags())
	return cmd
}

func logoutCommand(env *command.Env) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "logout [SERVER]",
		Short: "Remove the credentials that login has kept",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return logout(cmd.Context(), env, config, first(args))
		},
	}
	bindConfig(cmd.Flags(), &config)
	return cmd
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// readPassword reads a password, without the line's end that it may have.
func readPassword(r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPassword+1))
	switch password := strings.TrimRight(string(raw), "\r\n"); {
	case err != nil:
		return "", err
	case len(raw) > maxPassword:
		return "", fmt.Errorf("more than %d bytes", maxPassword)
	case password == "":
		return "", errors.New("it is empty")
	default:
		return password, nil
	}
}

// login checks the file before it asks the registry: there is no use in a login that
// cannot be kept.
func (f *loginFlags) login(ctx context.Context, env *command.Env, server string) error {
	store, err := openStore(env, f.config)
	if err != nil {
		return err
	}
	if err := registry.TrustRoots(); err != nil {
		return err
	}
	if err := f.registry.Check(); err != nil {
		return err
	}
	client := registry.New(registry.Config{
		Options: f.registry, Keychain: typed{authn.AuthConfig{Username: f.user, Password: f.password}}, UserAgent: "kaniko/" + command.Release,
	})
	r, err := client.Registry(hostOf(server))
	if err != nil {
		return err
	}
	if err := client.CheckLogin(ctx, r); err != nil {
		return err
	}
	where, err := store.Put(ctx, r.RegistryStr(), f.user, f.password)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.Stdout, "%s lets %s in; the credentials are in %s\n", r.RegistryStr(), f.user, where)
	return err
}

func logout(ctx context.Context, env *command.Env, dir, server string) error {
	store, err := openStore(env, dir)
	if err != nil {
		return err
	}
	r, err := registry.New(registry.Config{}).Registry(hostOf(server))
	if err != nil {
		return err
	}
	there, err := store.Remove(ctx, r.RegistryStr())
	if err != nil {
		return err
	}
	said := "%s has no credentials for %s\n"
	if there {
		said = "%s: the credentials for %s are gone\n"
	}
	_, err = fmt.Fprintf(env.Stdout, said, store.Path(), r.RegistryStr())
	return err
}

func openStore(env *command.Env, dir string) (*keychain.Store, error) {
	if dir != "" {
		return keychain.OpenStore([]string{dir})
	}
	return keychain.OpenStore(keychain.Dirs(env.Getenv))
}

// hostOf is a registry without what people write around it.
func hostOf(server string) string {
	_, rest, ok := strings.Cut(server, "://")
	if !ok {
		rest = server
	}
	host, _, _ := strings.Cut(rest, "/")
	if host == "docker.io" || host == "registry-1.docker.io" {
		return name.DefaultRegistry
	}
	return host
}

// typed are credentials that somebody has just given.
type typed struct{ auth authn.AuthConfig }

func (t typed) Resolve(authn.Resource) (authn.Authenticator, error) { return t, nil }

func (t typed) Authorization() (*authn.AuthConfig, error) {
	a := t.auth
	return &a, nil
}

// Source is where they came from.
func (t typed) Source() string { return "the command line" }
