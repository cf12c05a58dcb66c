"""A list of what a Go program links."""

load("@rules_go//go:def.bzl", "GoArchive")

def _linked_packages_impl(ctx):
    out = ctx.outputs.out
    paths = {data.importpath: None for data in ctx.attr.program[GoArchive].transitive.to_list()}
    ctx.actions.write(out, "".join([path + "\n" for path in sorted(paths)]))
    return [DefaultInfo(files = depset([out]))]

linked_packages = rule(
    implementation = _linked_packages_impl,
    doc = "Writes the import paths of a program's packages, those of the standard library excepted, one a line.",
    attrs = {
        "out": attr.output(mandatory = True),
        "program": attr.label(mandatory = True, providers = [GoArchive]),
    },
)
