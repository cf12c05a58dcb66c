"""Packages of Debian, which tools/fixtures/build.sh has fetched by the machine's own apt."""

def _debian_package_impl(ctx):
    end = "_%s.deb" % ctx.attr.architecture
    lines = [line.split("  ") for line in ctx.read(ctx.attr.sums).splitlines() if line.endswith(end)]
    if len(lines) != 1:
        fail("%s has %d packages for %s: it must be one" % (ctx.attr.sums, len(lines), ctx.attr.architecture))
    sha256, name = lines[0]
    cache = ctx.getenv("XDG_CACHE_HOME") or ctx.getenv("HOME", "") + "/.cache"
    file = ctx.path((ctx.getenv("KANIKO_FIXTURES") or cache + "/kaniko-fixtures") + "/debian/" + name)
    if not file.exists:
        fail("%s is not there: tools/fixtures/build.sh busybox fetches it" % file)
    got = ctx.execute(["sha256sum", str(file)]).stdout.split(" ")[0]
    if got != sha256:
        fail("%s has the SHA-256 %s, and %s says %s" % (file, got, ctx.attr.sums, sha256))
    ctx.symlink(file, "package.deb")
    ctx.file("BUILD.bazel", """filegroup(
    name = "file",
    srcs = ["package.deb"],
    visibility = ["//visibility:public"],
)
""")

debian_package = repository_rule(
    implementation = _debian_package_impl,
    doc = "One package of Debian, as @NAME//:file.",
    attrs = {
        "architecture": attr.string(mandatory = True, doc = "As Debian names it."),
        "sums": attr.label(mandatory = True, doc = "What sha256sum says of the packages, one for each architecture.", allow_single_file = True),
    },
)
