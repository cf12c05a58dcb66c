// Package cli is the command line of cachegc: its flags and sub-commands, and what
// they call.
package cli

import (
	"github.com/spf13/cobra"

	"github.com/kaniko-suite/kaniko/shared/command"
)

// Program is cachegc.
func Program() command.Program {
	return command.Program{
		Name:    "cachegc",
		New:     root,
		Usage:   2,
		Failure: 1,
	}
}

func root(env *command.Env) *cobra.Command {
	c := &cobra.Command{
		Use:   "cachegc",
		Short: "Deletes from caches what is no longer of use",
		Long: `cachegc keeps layer caches from growing without end: the repositories, and the
directories oci:DIR, that executor has as --cache-repo, and the directory of base
images that warmer fills. It deletes what its rules say, and nothing without a rule.
It never touches what is not a cache's, and a build that is under way at the same
time at worst does a step anew.

Exit codes: 0 done, or nothing to do; 1 an error; 2 the command line; 3 refused for
safety; 4 the registry does not delete, or not for these credentials; 5 the time was
over, run it again; 10 plan --detailed-exitcode, and there is something to delete.`,
		Example: `  cachegc plan registry.example/app/cache --unused-for 14d -o plan.json
  cachegc apply plan.json
  cachegc run registry.example/app/cache --unused-for 14d --max-bytes 200GB --target-bytes 160GB
  cachegc run --config caches.yaml --timeout 30m`,
	}
	c.AddCommand(planCommand(env), applyCommand(env), runCommand(env), statsCommand(env), restoreCommand(env))
	return c
}

func planCommand(env *command.Env) *cobra.Command {
	r := &runner{env: env}
	c := &cobra.Command{
		Use:   "plan CACHE…",
		Short: "Tells what would be deleted, and why",
		RunE:  func(c *cobra.Command, args []string) error { return r.begin(c, args, r.plan) },
	}
	r.flags.bindCommon(c.Flags())
	r.flags.bindStock(c.Flags())
	bindRules(c.Flags(), &rules{})
	c.Flags().StringVarP(&r.flags.output, "output", "o", "", "`file` to write the plan to, with what apply and restore need; - is standard output")
	c.Flags().BoolVar(&r.flags.detailed, "detailed-exitcode", false, "end with status 10 if there is something to delete")
	return c
}

func applyCommand(env *command.Env) *cobra.Command {
	r := &runner{env: env}
	c := &cobra.Command{
		Use:   "apply PLAN",
		Short: "Deletes what a plan says, if it is still so",
		Args:  cobra.ExactArgs(1),
		RunE:  func(c *cobra.Command, args []string) error { return r.begin(c, args, r.apply) },
	}
	r.flags.bindCommon(c.Flags())
	r.flags.bindDelete(c.Flags())
	return c
}

func runCommand(env *command.Env) *cobra.Command {
	r := &runner{env: env}
	c := &cobra.Command{
		Use:   "run CACHE…",
		Short: "Plans and applies, for a CronJob",
		RunE:  func(c *cobra.Command, args []string) error { return r.begin(c, args, r.run) },
	}
	r.flags.bindCommon(c.Flags())
	r.flags.bindStock(c.Flags())
	r.flags.bindDelete(c.Flags())
	bindRules(c.Flags(), &rules{})
	c.Flags().StringVarP(&r.flags.output, "output", "o", "", "`file` to write the plan to before anything is deleted, for restore")
	return c
}

func statsCommand(env *command.Env) *cobra.Command {
	r := &runner{env: env}
	c := &cobra.Command{
		Use:   "stats CACHE…",
		Short: "Tells what is in a cache: sizes, ages, lineages, hits",
		RunE:  func(c *cobra.Command, args []string) error { return r.begin(c, args, r.stats) },
	}
	r.flags.bindCommon(c.Flags())
	r.flags.bindStock(c.Flags())
	c.Flags().BoolVar(&r.flags.foreign, "foreign", false, "count the entries of an old kaniko, too")
	return c
}

func restoreCommand(env *command.Env) *cobra.Command {
	r := &runner{env: env}
	c := &cobra.Command{
		Use:   "restore PLAN",
		Short: "Puts back what a plan has deleted, as far as its blobs are there",
		Args:  cobra.ExactArgs(1),
		RunE:  func(c *cobra.Command, args []string) error { return r.begin(c, args, r.restore) },
	}
	r.flags.bindCommon(c.Flags())
	return c
}
