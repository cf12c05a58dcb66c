package verify

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// secretName is a name whose value is a secret.
const secretName = `(?i)(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIAL)S?$`

// secretValues are what gives a secret away by itself: what providers say that theirs
// look like, private keys, and passwords in addresses.
func secretValues() []*regexp.Regexp {
	var all []*regexp.Regexp
	for _, p := range []string{
		`-----BEGIN [A-Z ]*PRIVATE KEY-----`,
		`\b(AKIA|ASIA)[0-9A-Z]{16}\b`,                       // Amazon
		`\bAIza[0-9A-Za-z_-]{35}\b`,                         // Google
		`\b(gh[pousr]_[0-9A-Za-z]{36}|github_pat_\w{22,})`,  // GitHub
		`\bgl(pat|dt|ptt|rt)-[0-9A-Za-z_-]{20}`,             // GitLab
		`\bxox[abeoprs]-[0-9A-Za-z-]{10,}`,                  // Slack
		`\bsk_live_[0-9A-Za-z]{16,}`,                        // Stripe
		`\bnpm_[0-9A-Za-z]{36}\b`,                           // npm
		`\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.`,  // a JSON web token
		`[a-z][a-z0-9+.-]*://[^/\s:@'"]+:[^/\s:@'"$]+@[^/]`, // in an address
	} {
		all = append(all, regexp.MustCompile(p))
	}
	return all
}

// assignment is a name with a value in a command, bare or in quotes.
const assignment = `([A-Za-z_][A-Za-z0-9_.-]*)=("[^"]*"|'[^']*'|[^\s;&|]+)`

// seeker looks for secrets.
type seeker struct {
	name, assigned *regexp.Regexp
	values         []*regexp.Regexp
	allowed        []string
	found          []string
}

func newSeeker(p *Policy) *seeker {
	return &seeker{
		name: regexp.MustCompile(secretName), assigned: regexp.MustCompile(assignment),
		values: append(secretValues(), p.secrets...), allowed: p.SecretAllow,
	}
}

// noSecrets checks what everybody can read who can pull an image. What was found is
// said by where it is, and never shown.
func noSecrets(_ context.Context, v *Verifier, _ *subject, i source.Image) ([]Fact, error) {
	config, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	s := newSeeker(v.Policy)
	for _, e := range config.Config.Env {
		name, value, _ := strings.Cut(e, "=")
		s.pair("the variable", name, value)
	}
	for _, name := range sortedKeys(config.Config.Labels) {
		s.pair("the label", name, config.Config.Labels[name])
	}
	for what, words := range map[string][]string{"the entrypoint": config.Config.Entrypoint, "the command": config.Config.Cmd} {
		s.text(what, strings.Join(words, " "))
	}
	for n, h := range config.History {
		s.text(fmt.Sprintf("entry %d of the history", n+1), h.CreatedBy+" "+h.Comment)
	}
	if len(s.found) > 0 {
		slices.Sort(s.found)
		return nil, errors.New("there seems to be a secret in " + strings.Join(slices.Compact(s.found), ", "))
	}
	return []Fact{
		{"variables", fmt.Sprint(len(config.Config.Env))},
		{"labels", fmt.Sprint(len(config.Config.Labels))},
		{"history", fmt.Sprintf("%d entries", len(config.History))},
	}, nil
}

// pair looks at a name and its value. A reference to another variable is no secret.
func (s *seeker) pair(what, name, value string) {
	value = strings.Trim(value, `"'`)
	if value == "" || slices.Contains(s.allowed, name) {
		return
	}
	if s.name.MatchString(name) && !strings.HasPrefix(value, "$") && !strings.HasPrefix(value, "/") || s.gives(value) {
		s.found = append(s.found, what+" "+name)
	}
}

// text looks at a command.
func (s *seeker) text(what, text string) {
	for _, m := range s.assigned.FindAllStringSubmatch(text, -1) {
		if slices.Contains(s.allowed, m[1]) {
			text = strings.ReplaceAll(text, m[0], "")
			continue
		}
		s.pair(what+", where", m[1], m[2])
	}
	if s.gives(text) {
		s.found = append(s.found, what)
	}
}

func (s *seeker) gives(text string) bool {
	return slices.ContainsFunc(s.values, func(re *regexp.Regexp) bool { return re.MatchString(text) })
}
