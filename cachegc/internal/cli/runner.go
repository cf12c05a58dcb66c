package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/cachegc/internal/apply"
	"github.com/kaniko-suite/kaniko/cachegc/internal/inventory"
	"github.com/kaniko-suite/kaniko/cachegc/internal/place"
	"github.com/kaniko-suite/kaniko/cachegc/internal/plan"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// atATime is how many requests are under way to a registry at most.
const atATime = 16

// maxSkew is how far a registry's clock may be from ours.
const maxSkew = 5 * time.Minute

// runner is one invocation of a command.
type runner struct {
	env     *command.Env
	flags   flags
	command *cobra.Command
	args    []string
	tracing *trace.Provider
	client  *registry.Client
	pace    *registry.Pace
	clock   *place.Clock
	summary summary
}

// begin is what all commands do before and after their work.
func (r *runner) begin(c *cobra.Command, args []string, work func(context.Context) error) (err error) {
	r.command, r.args = c, args
	if err := r.flags.check(); err != nil {
		return command.UsageError(c, "%w", err)
	}
	ctx, tracing, end, err := trace.Begin(c.Context(), trace.Options{
		Service: "kaniko-cachegc", Version: command.Release, Files: r.flags.trace, LookupEnv: r.env.LookupEnv,
		Warn: func(err error) { r.env.Log.Warn(err.Error()) },
	}, "cachegc."+c.Name())
	if err != nil {
		return err
	}
	r.tracing = tracing
	r.env.Page.Trace = tracing.ID(ctx)
	defer func() { err = end(err) }()
	if err := r.connect(); err != nil {
		return r.judge(ctx, err)
	}
	r.summary = summary{Command: c.Name(), Started: time.Now().UTC()}
	limited, stop := ctx, context.CancelFunc(func() {})
	if r.flags.timeout > 0 {
		limited, stop = context.WithTimeout(ctx, time.Duration(r.flags.timeout))
	}
	defer stop()
	err = r.finish(ctx, work(limited))
	return r.judge(ctx, err)
}

// finish tells what came of it.
func (r *runner) finish(ctx context.Context, err error) error {
	failed := err
	if err == errPending {
		failed = nil
	}
	if errors.Is(err, context.DeadlineExceeded) && r.flags.timeout > 0 {
		err = fmt.Errorf("the time of --timeout=%s is over: %w", &r.flags.timeout, err)
		failed = err
	}
	r.summary.end(failed, r.pace.Waited())
	for _, c := range r.summary.Caches {
		r.tracing.Cleaned(ctx, c.measured(r.summary.Started))
	}
	r.tracing.CleanedAll(ctx, r.pace.Waited(), time.Now(), failed)
	if told := r.tell(); told != nil {
		return errors.Join(err, told)
	}
	return err
}

func (r *runner) connect() error {
	if err := registry.TrustRoots(); err != nil {
		return err
	}
	if err := r.flags.registry.Check(); err != nil {
		return err
	}
	r.pace, r.clock = registry.NewPace(r.flags.qps, atATime), place.NewClock(time.Now)
	r.client = registry.New(registry.Config{
		Options:   r.flags.registry,
		Keychain:  keychain.New(r.flags.keychain.From(r.env.Getenv)),
		Wrap:      func(rt http.RoundTripper) http.RoundTripper { return r.clock.Wrap(r.tracing.Transport(rt)) },
		UserAgent: "kaniko-cachegc/" + command.Release,
		Pace:      r.pace,
		Warn:      func(text string) { r.env.Log.Warn(text) },
	})
	return nil
}

// each does something for every cache that the command line and the file name. One that
// fails does not keep the others from being looked at.
func (r *runner) each(ctx context.Context, work func(context.Context, target, place.Place) error) error {
	targets, err := r.flags.targets(r.args, r.command.Flags())
	var wrong *ConfigError
	switch {
	case errors.As(err, &wrong):
		return err
	case err != nil:
		return command.UsageError(r.command, "--%w", err)
	case len(targets) == 0:
		return command.UsageError(r.command, "no cache: name one, or give --config")
	}
	var errs []error
	for _, t := range targets {
		if err := context.Cause(ctx); err != nil {
			errs = append(errs, fmt.Errorf("clean %s: %w", t.place, err))
			continue
		}
		errs = append(errs, r.at(t.place, func(p place.Place) error { return work(ctx, t, p) }))
	}
	return errors.Join(errs...)
}

// at does something in a place.
func (r *runner) at(spec string, work func(place.Place) error) error {
	p, err := place.Open(spec, r.client, r.flags.kind)
	if err != nil {
		return err
	}
	return errors.Join(work(p), p.Close())
}

// stock takes stock of a cache, and keeps what it learned, also when the time is over.
func (r *runner) stock(ctx context.Context, t target, p place.Place) (*inventory.Inventory, time.Time, error) {
	if bases, ok := p.(*place.Bases); ok {
		_, end := r.tracing.Part(ctx, "cachegc.list")
		stock, err := inventory.TakeBases(bases) // which is quicker than keeping what it says
		end(err)
		return stock, time.Now().UTC().Truncate(time.Second), err
	}
	at := keeper{where: r.flags.state, place: p}
	state, err := at.load(ctx)
	if err != nil {
		r.env.Log.Warn(fmt.Sprintf("what was learned of %s before is of no use: %v", p, err))
		state = inventory.NewState()
	}
	now := time.Now().UTC().Truncate(time.Second)
	step, end := r.tracing.Part(ctx, "cachegc.list")
	stock, err := inventory.Take(step, p, state, inventory.Options{Now: now, Foreign: t.foreign, AtATime: atATime})
	end(err)
	saving, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	if saved := at.save(saving, state); saved != nil {
		r.env.Log.Warn(fmt.Sprintf("what was learned of %s is not kept: %v", p, saved))
	}
	if err != nil {
		return nil, now, err
	}
	for _, tag := range stock.Damaged {
		r.env.Log.Warn(fmt.Sprintf("%s: what is under the tag %s cannot be understood, and is left alone", p, tag))
	}
	return stock, now, r.checkClock(p)
}

// ClockError is a registry whose clock is not ours, so that ages mean nothing.
type ClockError struct {
	Place string
	Skew  time.Duration
}

func (e *ClockError) Error() string {
	return fmt.Sprintf("clean %s: its registry's clock and ours are %s apart, more than %s", e.Place, e.Skew.Abs(), maxSkew)
}

// Hint says what is usually wrong.
func (e *ClockError) Hint() string { return "set this machine's clock" }

// ExitCode is that of what was refused for safety.
func (e *ClockError) ExitCode() int { return 3 }

func (r *runner) checkClock(p place.Place) error {
	host, _, _ := strings.Cut(p.String(), "/")
	if skew := r.clock.Skew(host); skew.Abs() > maxSkew {
		return &ClockError{p.String(), skew}
	}
	return nil
}

// make makes the plan of a cache.
func (r *runner) make(ctx context.Context, t target, p place.Place) (*plan.Cache, error) {
	stock, now, err := r.stock(ctx, t, p)
	if err != nil {
		return nil, err
	}
	_, end := r.tracing.Part(ctx, "cachegc.decide")
	c := plan.Make(p.String(), stock, t.rules, now)
	end(nil)
	c.Rules = t.said
	if r.flags.output == "" {
		return c, nil
	}
	return c, r.gather(ctx, p, c)
}

// plan is the command of that name.
func (r *runner) plan(ctx context.Context) error {
	all := r.newPlan()
	err := r.each(ctx, func(ctx context.Context, t target, p place.Place) error {
		c, err := r.make(ctx, t, p)
		if err == nil {
			all.Caches = append(all.Caches, c)
			r.summary.add(c)
		}
		return err
	})
	if wrote := r.write(all); err == nil {
		err = wrote
	}
	if err != nil || !r.flags.detailed {
		return err
	}
	for _, c := range all.Caches {
		if c.Totals.Delete > 0 {
			return errPending
		}
	}
	return nil
}

// run is the command of that name. The plan of a cache is made and done before that of the
// next.
func (r *runner) run(ctx context.Context) error {
	if r.flags.output == "-" {
		return command.UsageError(r.command, "--output=- is for the command plan: run writes the plan anew for each cache")
	}
	all := r.newPlan()
	return r.each(ctx, func(ctx context.Context, t target, p place.Place) error {
		if err := apply.Probe(ctx, p); err != nil {
			return err
		}
		c, err := r.make(ctx, t, p)
		if err != nil {
			return err
		}
		all.Caches = append(all.Caches, c)
		if err := r.write(all); err != nil {
			return err
		}
		return r.clean(ctx, p, c, t.rules.Grace)
	})
}

// apply is the command of that name.
func (r *runner) apply(ctx context.Context) error {
	all, err := readPlan(r.args[0])
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range all.Caches {
		errs = append(errs, r.at(c.Place, func(p place.Place) error {
			err := apply.Probe(ctx, p)
			if err == nil {
				err = r.checkClock(p)
			}
			if err != nil {
				return err
			}
			return r.clean(ctx, p, c, c.Grace())
		}))
	}
	return errors.Join(errs...)
}

// clean does what a plan says of a cache.
func (r *runner) clean(ctx context.Context, p place.Place, c *plan.Cache, grace time.Duration) error {
	done := r.summary.add(c)
	if !r.flags.force {
		if err := r.flags.maxDelete.Check(c); err != nil {
			return err
		}
	}
	step, end := r.tracing.Part(ctx, "cachegc.delete")
	result, err := apply.Run(step, p, c, apply.Options{
		Grace: grace, Now: time.Now, Referrers: r.flags.referrers,
		Report: func(e *plan.Entry, s apply.Status, err error) {
			text := fmt.Sprintf("%s %s %s: %s", s, e.Kind, name(e), e.Reason)
			if err != nil {
				text = fmt.Sprintf("%s %s %s: %v", s, e.Kind, name(e), err)
			}
			r.env.Log.Debug(text)
		},
	})
	end(err)
	done.Done = &result
	return err
}

func (r *runner) newPlan() *plan.Plan {
	return &plan.Plan{Schema: plan.Schema, Tool: "cachegc " + command.Release, Made: time.Now().UTC().Truncate(time.Second)}
}

// gather fetches what it takes to undo a plan.
func (r *runner) gather(ctx context.Context, p place.Place, c *plan.Cache) error {
	step, end := r.tracing.Part(ctx, "cachegc.manifests")
	err := plan.Gather(step, p, c, atATime)
	end(err)
	return err
}

// write writes the plan to where it was wanted.
func (r *runner) write(p *plan.Plan) error {
	switch r.flags.output {
	case "":
		return nil
	case "-":
		return p.Write(r.env.Stdout)
	}
	return writeFile(r.flags.output, p.Write)
}

func readPlan(path string) (*plan.Plan, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &plan.Error{Path: path, Err: err}
	}
	defer f.Close()
	return plan.Read(f, path)
}

// restore is the command of that name.
func (r *runner) restore(ctx context.Context) error {
	all, err := readPlan(r.args[0])
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range all.Caches {
		errs = append(errs, r.at(c.Place, func(p place.Place) error {
			if _, ok := p.(*place.Bases); ok {
				return &place.BasesError{Dir: p.String()}
			}
			done := r.summary.add(c)
			result, err := apply.Restore(ctx, p, c, func(e *plan.Entry, s apply.Status) {
				r.env.Log.Debug(fmt.Sprintf("%s %s %s", s, e.Kind, name(e)))
			})
			done.Done = &result
			return err
		}))
	}
	return errors.Join(errs...)
}

// stats is the command of that name.
func (r *runner) stats(ctx context.Context) error {
	return r.each(ctx, func(ctx context.Context, t target, p place.Place) error {
		t.foreign = r.flags.foreign
		stock, now, err := r.stock(ctx, t, p)
		if err != nil {
			return err
		}
		r.summary.Stats = append(r.summary.Stats, inventory.Count(p.String(), stock, now))
		return nil
	})
}

// tell prints the summary.
func (r *runner) tell() error {
	if r.flags.output == "-" {
		return r.summary.terminate(r.flags.termination)
	}
	var err error
	if r.flags.format == "json" {
		e := json.NewEncoder(r.env.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r.summary)
	} else {
		err = r.summary.print(r.env.Stdout)
	}
	return errors.Join(err, r.summary.terminate(r.flags.termination))
}
