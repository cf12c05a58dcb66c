"""Images of our programs, built by our own executor."""

def _image_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    binary = ctx.file.binary
    ctx.actions.run_shell(
        command = """set -e
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/context" "$work/state"
cp "$2" "$work/context/$3"
if ! "$1" --context "$work/context" --dockerfile "$4" --kaniko-dir "$work/state" \\
    --no-push --oci-layout-path "$5" --reproducible >"$work/log" 2>&1; then
  cat "$work/log" >&2
  exit 1
fi
""",
        arguments = [ctx.executable._executor.path, binary.path, binary.basename, ctx.file.dockerfile.path, out.path],
        inputs = [binary, ctx.file.dockerfile],
        tools = [ctx.executable._executor],
        outputs = [out],
        mnemonic = "Image",
        progress_message = "Building image %{label}",
    )
    return [DefaultInfo(files = depset([out]))]

image = rule(
    implementation = _image_impl,
    doc = "An image of one program, as an OCI layout.",
    attrs = {
        "binary": attr.label(mandatory = True, allow_single_file = True, cfg = "target"),
        "dockerfile": attr.label(mandatory = True, allow_single_file = True),
        "_executor": attr.label(
            default = "//executor",
            executable = True,
            # Built for this machine once more, it would be the same binary.
            cfg = "target",
        ),
    },
)
