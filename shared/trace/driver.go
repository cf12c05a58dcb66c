package trace

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kaniko-suite/kaniko/shared/sandbox"
)

// Driver hands the trace on to the commands that run in d's sandboxes: they find
// TRACEPARENT in their environment, unless the image or the Dockerfile sets it.
// It is d itself if tracing is off.
func (p *Provider) Driver(d sandbox.Driver) sandbox.Driver {
	if p.sdk == nil || d == nil {
		return d
	}
	return driver{d}
}

type driver struct{ sandbox.Driver }

func (d driver) New(ctx context.Context, name string) (sandbox.Sandbox, error) {
	s, err := d.Driver.New(ctx, name)
	if err != nil {
		return nil, err
	}
	return tracedSandbox{s}, nil
}

type tracedSandbox struct{ sandbox.Sandbox }

// Unwrap lets a driver know its own sandboxes again.
func (s tracedSandbox) Unwrap() sandbox.Sandbox { return s.Sandbox }

func (s tracedSandbox) Run(ctx context.Context, p sandbox.Process) error {
	if span := oteltrace.SpanContextFromContext(ctx); span.IsValid() {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		p.Env = slices.Clone(p.Env)
		for _, name := range []string{"traceparent", "tracestate"} {
			p.Env = setDefault(p.Env, strings.ToUpper(name), carrier[name])
		}
	}
	return s.Sandbox.Run(ctx, p)
}

func setDefault(env []string, name, value string) []string {
	taken := slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	if value == "" || taken {
		return env
	}
	return append(env, name+"="+value)
}
