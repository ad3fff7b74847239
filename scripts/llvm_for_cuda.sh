#!/bin/sh
# Builds with the feature `cuda` and Debian's LLVM 22, without the download of LLVM that Burn's CUDA
# backend makes otherwise.
#
#     apt-get install -y --no-install-recommends llvm-22-dev libzstd-dev g++
#     scripts/llvm_for_cuda.sh cargo build --release -p onecycle-cli --features cuda
#
# Prepares a folder that Burn's build scripts take for their own LLVM, then runs the given command.
# The folder is target/llvm, or $LLVM_FOR_CUDA. Other llvm-config: LLVM_CONFIG=/path/to/llvm-config.
set -eu
cd "$(dirname "$0")/.."

real=${LLVM_CONFIG:-/usr/lib/llvm-22/bin/llvm-config}
home=${LLVM_FOR_CUDA:-$PWD/target/llvm}
if [ $# -eq 0 ]; then
    echo "usage: $0 COMMAND..., such as: $0 cargo build --release -p onecycle-cli --features cuda" >&2
    exit 2
fi
if ! found=$("$real" --version); then
    echo "$real does not run: apt-get install -y --no-install-recommends llvm-22-dev libzstd-dev g++" >&2
    exit 1
fi
case $found in
    22.*) ;;
    *) echo "warning: $real is LLVM $found; only LLVM 22 was tried" >&2 ;;
esac
# The folder's name carries the version of the crate that would download LLVM.
version=$(sed -n '/^name = "tracel-llvm-bundler"$/ { n; s/^version = "\(.*\)"$/\1/p; }' Cargo.lock)
if [ -z "$version" ]; then
    echo "Cargo.lock has no tracel-llvm-bundler: this version of Burn takes LLVM from elsewhere" >&2
    exit 1
fi
folder=$home/tracel/tracel-llvm-$version
mkdir -p "$folder/bin"
# Debian's LLVM is linked without the components that Burn's build of it has but never calls.
cat >"$folder/bin/llvm-config" <<CONFIG
#!/bin/sh
for last; do :; done
case "\$last" in
    --libs | --libnames)
        exec '$real' "\$@" nvptx native orcjit mcjit interpreter passes linker bitreader bitwriter \\
            asmparser irreader ;;
    --system-libs) echo "-lrt -ldl -lm -lz -lzstd" ;;
    *) exec '$real' "\$@" ;;
esac
CONFIG
chmod +x "$folder/bin/llvm-config"
touch "$folder/.tracel-llvm-installed"
XDG_DATA_HOME=$home exec "$@"
