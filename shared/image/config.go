package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// object is a JSON object whose members keep their bytes.
type object map[string]json.RawMessage

// encodeConfig writes the config: what a.Config says, and what the base says that
// a v1.ConfigFile has no field for.
func encodeConfig(a Assembly, base []byte, diffIDs []v1.Hash, history []json.RawMessage) ([]byte, error) {
	c := a.Config
	c.Created = v1.Time{Time: a.Created.UTC()}
	c.History = nil
	c.RootFS = v1.RootFS{Type: "layers", DiffIDs: append([]v1.Hash{}, diffIDs...)}
	top, err := members(c)
	if err != nil {
		return nil, err
	}
	if len(history) > 0 {
		if top["history"], err = encode(history); err != nil {
			return nil, err
		}
	}
	var old object
	if base != nil {
		if err := json.Unmarshal(base, &old); err != nil {
			return nil, fmt.Errorf("read the base's config: %w", err)
		}
	}
	inner, err := members(c.Config)
	if err != nil {
		return nil, err
	}
	oldInner, err := member(old, "config")
	if err != nil {
		return nil, err
	}
	if err := healthcheck(inner, c.Config.Healthcheck, oldInner, a.StartInterval); err != nil {
		return nil, err
	}
	carry(inner, oldInner, reflect.TypeFor[v1.Config](), nil)
	carry(top, old, reflect.TypeFor[v1.ConfigFile](), stale)
	if top["config"], err = encode(inner); err != nil {
		return nil, err
	}
	return encode(top)
}

// members takes a struct apart.
func members(v any) (object, error) {
	raw, err := encode(v)
	if err != nil {
		return nil, err
	}
	var o object
	err = json.Unmarshal(raw, &o)
	return o, err
}

// member is an object inside an object; nil if it is missing, null or no object.
func member(o object, name string) (object, error) {
	raw, ok := o[name]
	if !ok {
		return nil, nil
	}
	var in object
	if err := json.Unmarshal(raw, &in); err != nil {
		return nil, fmt.Errorf("read the base's config: %s: %w", name, err)
	}
	return in, nil
}

// carry copies to "to" what "from" has beside the fields of a type.
func carry(to, from object, known reflect.Type, drop func(name string) bool) {
	for name, raw := range from {
		if hasField(known, name) || drop != nil && drop(name) || bytes.Equal(raw, []byte("null")) {
			continue
		}
		if _, ok := to[name]; !ok {
			to[name] = raw
		}
	}
}

// hasField compares as encoding/json does, in any case.
func hasField(t reflect.Type, name string) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "" {
			tag = f.Name
		}
		if strings.EqualFold(tag, name) {
			return true
		}
	}
	return false
}

// stale reports members of a config that tell how the base was built, or of the
// base itself, and so are wrong of an image built on it.
func stale(name string) bool {
	switch strings.ToLower(name) {
	case "container_config", "id", "parent", "parent_id", "layer_id", "throwaway", "size":
		return true
	}
	return strings.HasPrefix(name, "moby.buildkit.")
}

// startIntervalName is Docker's, as a member of the health check.
const startIntervalName = "StartInterval"

// healthcheck adds to the health check what v1.HealthConfig has no field for.
func healthcheck(config object, h *v1.HealthConfig, old object, start time.Duration) error {
	if h == nil {
		return nil
	}
	now, err := members(h)
	if err != nil {
		return err
	}
	if start != 0 {
		if now[startIntervalName], err = encode(start); err != nil {
			return err
		}
	}
	var was v1.HealthConfig
	raw, ok := old["Healthcheck"]
	if ok && json.Unmarshal(raw, &was) == nil && start == 0 && reflect.DeepEqual(was, *h) {
		in, err := member(old, "Healthcheck")
		if err != nil {
			return err
		}
		carry(now, in, reflect.TypeFor[v1.HealthConfig](), nil)
	}
	config["Healthcheck"], err = encode(now)
	return err
}
