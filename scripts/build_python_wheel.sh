#!/usr/bin/env bash
# Builds the Python wheel with the command `onecycle` in it, into crates/onecycle-python/dist.
#
#   scripts/build_python_wheel.sh                    builds the command with the profile `dist` and the module
#   scripts/build_python_wheel.sh --command FILE     takes a command that was built before
#   scripts/build_python_wheel.sh --without-command  only the module: one minute, for tests
#
# All other arguments go to `maturin build`, for example `--zig --compatibility manylinux2014`. With
# --target, the command is built for that target too. Needs Rust and Python 3.10 or newer; installs maturin
# into a virtual environment in the target folder if it is not on the path.
set -euo pipefail
cd "$(dirname "$0")/.."
package=crates/onecycle-python

command=build
target=()
zig=false
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --command) command=$2; shift ;;
        --without-command) command=none ;;
        --target) target=(--target "$2"); arguments+=("$1" "$2"); shift ;;
        --zig) zig=true; arguments+=("$1") ;;
        *) arguments+=("$1") ;;
    esac
    shift
done

folder=${CARGO_TARGET_DIR:-target}
if ! command -v maturin >/dev/null; then
    python3 -m venv "$folder/maturin"
    packages=('maturin>=1.16,<2')
    if $zig; then packages+=(ziglang cargo-zigbuild); fi
    "$folder/maturin/bin/pip" install --quiet "${packages[@]}"
    PATH="$PWD/$folder/maturin/bin:$folder/maturin/bin:$PATH"
fi

rm -rf "$package/data" "$package/dist"
mkdir -p "$package/data/scripts"
cp LICENSE-MIT LICENSE-APACHE "$package/"
if [ "$command" = build ]; then
    # Zig as the linker gives a binary for an older C library than this machine's.
    build=build
    triple=${target[1]:-}
    if $zig; then
        build=zigbuild
        triple=${triple:-$(rustc -vV | sed -n 's/^host: //p')}
    fi
    # manylinux2014 promises glibc 2.17.
    version=
    if [[ $zig = true && $triple = *-gnu ]]; then version=.2.17; fi
    cargo "$build" --locked --profile dist -p onecycle-cli ${triple:+--target "$triple$version"}
    command=$folder/${triple:+$triple/}dist/onecycle
    [ -e "$command" ] || command=$command.exe
fi
if [ "$command" != none ]; then
    cp "$command" "$package/data/scripts/"
    strip "$package/data/scripts/$(basename "$command")" 2>/dev/null || echo "the command is not stripped" >&2
fi
maturin build --release --locked --manifest-path "$package/Cargo.toml" --out "$package/dist" "${arguments[@]}"
ls -l "$package/dist"
