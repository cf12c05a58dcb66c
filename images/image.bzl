"""Images of our programs, for each platform, built by our own executor."""

# What a machine of this kind builds for itself need not be built once more.
_HERE = {"amd64": ["k8"], "arm64": ["aarch64"]}

def _each_platform_impl(settings, _attr):
    return {
        arch: {
            "//command_line_option:platforms": settings["//command_line_option:platforms"] if settings["//command_line_option:cpu"] in cpus else ["@rules_go//go/toolchain:linux_" + arch],
        }
        for arch, cpus in _HERE.items()
    }

_each_platform = transition(
    implementation = _each_platform_impl,
    inputs = [
        "//command_line_option:cpu",
        "//command_line_option:platforms",
    ],
    outputs = ["//command_line_option:platforms"],
)

def _image_impl(ctx):
    files = ctx.actions.declare_directory(ctx.label.name + ".files")
    args = ctx.actions.args()
    args.add("--out", files.path)
    args.add("--dockerfile", ctx.file.dockerfile)
    args.add("--title", "kaniko " + ctx.attr.title)
    args.add("--description", ctx.attr.description)
    args.add("--licenses", ctx.attr.terms)
    args.add_all(ctx.attr.image_labels, before_each = "--label")
    args.add_all(ctx.files.files, before_each = "--file")
    inputs = [ctx.file.dockerfile] + ctx.files.files
    for arch, program in ctx.split_attr.program.items():
        binary = program[DefaultInfo].files_to_run.executable
        args.add("--program", "%s=%s" % (arch, binary.path))
        inputs.append(binary)
    for deb, arch in ctx.attr.busybox.items():
        file = deb[DefaultInfo].files.to_list()[0]
        args.add("--busybox", "%s=%s" % (arch, file.path))
        inputs.append(file)
    if ctx.attr.busybox:
        args.add("--applets", ctx.file.applets)
        inputs.append(ctx.file.applets)
    ctx.actions.run(
        executable = ctx.executable._prepare,
        arguments = [args],
        inputs = inputs,
        outputs = [files],
        mnemonic = "ImageFiles",
        progress_message = "Preparing image %{label}",
    )

    layout = ctx.actions.declare_directory(ctx.label.name)
    attestations = ctx.actions.declare_directory(ctx.label.name + ".attestations")
    ctx.actions.run(
        executable = ctx.file._build,
        arguments = [
            ctx.executable._executor.path,
            files.path,
            "--no-push",
            "--oci-layout-path=" + layout.path,
            "--attestation-dir=" + attestations.path,
        ],
        inputs = [files],
        tools = [ctx.executable._executor],
        outputs = [layout, attestations],
        mnemonic = "Image",
        progress_message = "Building image %{label}",
    )
    return [
        DefaultInfo(files = depset([layout])),
        OutputGroupInfo(everything = depset([layout, files, attestations])),
    ]

image = rule(
    implementation = _image_impl,
    doc = "An image of one program for linux/amd64 and linux/arm64, as an OCI layout.",
    attrs = {
        "applets": attr.label(default = "//images:files/applets.txt", allow_single_file = True),
        "busybox": attr.label_keyed_string_dict(allow_files = True, doc = "Debian packages, each with its architecture."),
        "description": attr.string(mandatory = True),
        "dockerfile": attr.label(mandatory = True, allow_single_file = True),
        "files": attr.label_list(allow_files = True),
        "image_labels": attr.string_list(doc = "KEY=VALUE."),
        "terms": attr.string(default = "Apache-2.0", doc = "An SPDX expression."),
        "program": attr.label(mandatory = True, cfg = _each_platform),
        "title": attr.string(mandatory = True),
        "_allowlist_function_transition": attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist"),
        "_build": attr.label(default = "//images:build.sh", allow_single_file = True),
        # Built for this machine once more, they would be the same binaries.
        "_executor": attr.label(default = "//executor", executable = True, cfg = "target"),
        "_prepare": attr.label(default = "//images/prepare", executable = True, cfg = "target"),
    },
)
