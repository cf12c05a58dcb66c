package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/kaniko-suite/kaniko/cachegc/internal/policy"
)

// target is a cache and its rules.
type target struct {
	place   string
	rules   policy.Rules
	foreign bool
	said    map[string]string // the rules as they were given
}

// config is the file of --config:
//
//	rules: {unused-for: 14d, max-delete: …}
//	caches:
//	- cache: registry.example/app/cache
//	  rules: {max-bytes: 200GB}
//
// Rules are named as the flags are. Those of a cache go before those of all, and flags
// before both.
type config struct {
	Rules  map[string]any `yaml:"rules"`
	Caches []struct {
		Cache string         `yaml:"cache"`
		Rules map[string]any `yaml:"rules"`
	} `yaml:"caches"`
}

// maxConfig bounds the file, in bytes.
const maxConfig = 1 << 20

// ConfigError is a file of caches that cannot be used.
type ConfigError struct {
	Path string
	Err  error
}

func (e *ConfigError) Error() string { return fmt.Sprintf("read the caches in %s: %v", e.Path, e.Err) }
func (e *ConfigError) Unwrap() error { return e.Err }

// Hint says where the form is described.
func (e *ConfigError) Hint() string { return "docs/cachegc.md has an example" }

func readConfig(path string) (*config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &ConfigError{path, err}
	}
	defer f.Close()
	var c config
	d := yaml.NewDecoder(io.LimitReader(f, maxConfig))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil {
		return nil, &ConfigError{path, err}
	}
	return &c, nil
}

// targets are the caches of a command line and of the file. Without names on the command
// line all of the file are meant, otherwise those that are named.
func (f *flags) targets(names []string, line *pflag.FlagSet) ([]target, error) {
	var c config
	if f.config != "" {
		read, err := readConfig(f.config)
		if err != nil {
			return nil, err
		}
		c = *read
	}
	own := map[string]map[string]any{}
	for _, one := range c.Caches {
		if one.Cache == "" {
			return nil, &ConfigError{f.config, fmt.Errorf("one of the caches has no name")}
		}
		own[one.Cache] = one.Rules
	}
	if len(names) == 0 {
		for _, one := range c.Caches {
			names = append(names, one.Cache)
		}
	}
	var all []target
	for _, name := range names {
		t, err := f.target(name, line, c.Rules, own[name])
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, nil
}

// target is one cache with its rules: the file's for all, its own, and those of the line.
func (f *flags) target(name string, line *pflag.FlagSet, layers ...map[string]any) (target, error) {
	var r rules
	fs := pflag.NewFlagSet("rules", pflag.ContinueOnError)
	bindRules(fs, &r)
	for _, layer := range layers {
		if err := setAll(fs, layer); err != nil {
			return target{}, &ConfigError{f.config, err}
		}
	}
	var wrong error
	line.VisitAll(func(given *pflag.Flag) {
		if !given.Changed || fs.Lookup(given.Name) == nil || wrong != nil {
			return
		}
		if list, ok := given.Value.(pflag.SliceValue); ok {
			wrong = fs.Lookup(given.Name).Value.(pflag.SliceValue).Replace(list.GetSlice())
			fs.Lookup(given.Name).Changed = true
			return
		}
		wrong = fs.Set(given.Name, given.Value.String())
	})
	if wrong != nil {
		return target{}, wrong
	}
	t := target{place: name, foreign: r.foreign, said: map[string]string{}}
	fs.VisitAll(func(one *pflag.Flag) {
		if v := one.Value.String(); v != "" && v != "false" && v != "0" && v != "0s" && v != "[]" {
			t.said[one.Name] = v
		}
	})
	var err error
	t.rules, err = r.policy()
	return t, err
}

// setAll sets rules as a file has them: text, numbers, truths, or lists of text.
func setAll(fs *pflag.FlagSet, values map[string]any) error {
	for name, value := range values {
		one := fs.Lookup(name)
		if one == nil {
			return fmt.Errorf("there is no rule %q", name)
		}
		if items, ok := value.([]any); ok {
			list, ok := one.Value.(pflag.SliceValue)
			if !ok {
				return fmt.Errorf("rule %s: it takes one value", name)
			}
			var texts []string
			for _, item := range items {
				texts = append(texts, fmt.Sprint(item))
			}
			if err := list.Replace(texts); err != nil {
				return fmt.Errorf("rule %s: %w", name, err)
			}
			continue
		}
		if err := one.Value.Set(fmt.Sprint(value)); err != nil {
			return fmt.Errorf("rule %s: %w", name, err)
		}
	}
	return nil
}
