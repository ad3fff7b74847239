#!/usr/bin/env python3
"""Measures PyTorch in one process: training steps of a network, or single convolution layers.

    python benches/torch_step.py step --model resnet20 --batch 128 --threads 2 --mode channels_last
    python benches/torch_step.py layers --threads 2 --batch 128 [--json]

`step` measures the same as `onecycle bench --format json` and prints the same keys; with
`--evaluation`, both measure evaluations of a batch instead. The networks
are those of scripts/check_with_pytorch.py. Both commands measure PyTorch as it comes, without
tuning the environment: its own thread pool, its own allocator, oneDNN for the convolutions.

With `--device cuda`, a step has no times of its parts: the device is only waited for before the
first and after the last measured step.
"""

import argparse
import importlib.util
import json
import pathlib
import re
import statistics
import sys
import time

import torch
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODES = ("default", "channels_last", "compiled", "compiled_channels_last")
MODES += tuple(f"{mode}_bfloat16" for mode in MODES)
CLASSES = 10
# Channels of the three stages; check_with_pytorch.py reads them from a model file.
RESNET_SMALL_CHANNELS = (32, 64, 128)


def peak_memory():
    """Largest resident memory of this process so far, in bytes; 0 if it is not reported."""
    try:
        text = pathlib.Path("/proc/self/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return 1024 * int(found[1]) if found else 0


def network(name, shape):
    """A network of check_with_pytorch.py for images of `shape` (channels, height, width)."""
    path = ROOT / "scripts" / "check_with_pytorch.py"
    spec = importlib.util.spec_from_file_location("check_with_pytorch", path)
    twins = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(twins)
    card = {
        "model": name,
        "classes": range(CLASSES),
        "shape": dict(zip(("channels", "height", "width"), shape)),
    }
    widths = {f"stage{i}.0.conv2.weight": range(n) for i, n in enumerate(RESNET_SMALL_CHANNELS, 1)}
    return twins.build(card, widths)


def common(args, seconds):
    """What a result of steps and one of evaluations have in common; `seconds` is the time of one."""
    return {
        "model": args.model,
        "mode": args.mode,
        "batch_size": args.batch,
        "threads": args.threads,
        "images_per_second": args.batch / seconds,
        # The whole process, including compilation.
        "peak_memory_bytes": peak_memory(),
        "torch": torch.__version__,
    }


def measure_step(args):
    """Medians over whole steps: forward and loss, backward, update by SGD with momentum."""
    imported = peak_memory()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    on_gpu = args.device == "cuda"
    model = network(args.model, args.shape).train().to(args.device)
    images = (torch.rand(args.batch, *args.shape) * 2 - 1).to(args.device)
    labels = (torch.arange(args.batch) % CLASSES).to(args.device)
    if "channels_last" in args.mode:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    # The fused update is PyTorch's fastest, but not its default.
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=args.fused)

    if args.evaluation:
        return {**measure_evaluation(args, model.eval(), images), "import_memory_bytes": imported}

    def loss_of(images, labels):
        with torch.autocast(args.device, torch.bfloat16, enabled=args.mode.endswith("bfloat16")):
            logits = model(images)
        return F.cross_entropy(logits.float(), labels)

    if args.mode.startswith("compiled"):
        loss_of = torch.compile(loss_of)

    times, first = [], 0.0
    for step in range(args.warm_up + args.steps):
        if on_gpu and step == args.warm_up:
            torch.cuda.synchronize()
            first = time.perf_counter()
        start = time.perf_counter()
        loss = loss_of(images, labels)
        forward = time.perf_counter()
        loss.backward()
        backward = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad()
        update = time.perf_counter()
        if step >= args.warm_up:
            times.append((forward - start, backward - forward, update - backward, update - start))
    if on_gpu:
        torch.cuda.synchronize()
    elapsed = time.perf_counter() - first
    if not torch.isfinite(loss):
        sys.exit(f"torch_step: the loss of {args.model} is {loss.item()}, expected a finite number")
    forward, backward, update, whole = (statistics.median(column) for column in zip(*times))
    if on_gpu:
        whole = elapsed / args.steps
    part = lambda seconds: None if on_gpu else 1e3 * seconds
    return {
        **common(args, whole),
        "forward_ms": part(forward),
        "backward_ms": part(backward),
        "update_ms": part(update),
        # After `import torch`, before anything else.
        "import_memory_bytes": imported,
    }


def measure_evaluation(args, model, images):
    """Median over passes of the network in evaluation mode, without gradients."""

    def logits_of(images):
        with torch.autocast(args.device, torch.bfloat16, enabled=args.mode.endswith("bfloat16")):
            return model(images).float()

    if args.mode.startswith("compiled"):
        logits_of = torch.compile(logits_of)
    times = []
    with torch.inference_mode():
        for step in range(args.warm_up + args.steps):
            start = time.perf_counter()
            # To the host, as a caller needs them.
            logits = logits_of(images).cpu()
            if step >= args.warm_up:
                times.append(time.perf_counter() - start)
    if not torch.isfinite(logits).all():
        sys.exit(f"torch_step: the logits of {args.model} are not finite")
    whole = statistics.median(times)
    return {
        **common(args, whole),
        "evaluation": True,
        "forward_ms": 1e3 * whole,
        "backward_ms": None,
        "update_ms": None,
    }


def layers():
    """Name and sizes of each layer, read from the kernels' own bench."""
    source = (ROOT / "crates" / "onecycle-kernels" / "benches" / "layers.rs").read_text()
    number = r",\s*(\d+)"
    found = re.findall(rf'layer\(\s*"([^"]+)"{number * 6}\s*,?\s*\)', source)
    if not found:
        sys.exit("torch_step: no layer(\"name\", in, out, size, kernel, stride, padding) found in layers.rs")
    return [(name, *map(int, sizes)) for name, *sizes in found]


def best_and_median(work, seconds):
    """Best and median time of `work` in seconds, over `seconds` but at least five repetitions."""
    work()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds or len(times) < 5:
        one = time.perf_counter()
        work()
        times.append(time.perf_counter() - one)
    return min(times), statistics.median(times)


def measure_layers(args):
    """GFLOP/s of each convolution, forward and backward, in both memory formats."""
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    backward_of = torch.ops.aten.convolution_backward
    rows = []
    for name, cin, cout, size, kernel, stride, padding in layers():
        if args.only not in name:
            continue
        out = (size + 2 * padding - kernel) // stride + 1
        flops = 2 * args.batch * cout * out * out * cin * kernel * kernel
        for memory, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
            x = torch.randn(args.batch, cin, size, size).contiguous(memory_format=layout)
            w = torch.randn(cout, cin, kernel, kernel).contiguous(memory_format=layout)
            dy = torch.randn(args.batch, cout, out, out).contiguous(memory_format=layout)

            def gradient(mask):
                backward_of(dy, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], 1, mask)

            works = {
                "forward": lambda: F.conv2d(x, w, None, stride, padding),
                "backward_data": lambda: gradient([True, False, False]),
                "backward_weights": lambda: gradient([False, True, False]),
            }
            row = {"layer": name, "memory_format": memory, "batch_size": args.batch, "threads": args.threads}
            for key, work in works.items():
                best, median = best_and_median(work, args.ms / 1e3)
                row[key] = {"best_ms": 1e3 * best, "median_ms": 1e3 * median, "gflops": flops / best / 1e9}
            rows.append(row)
            if not args.json:
                rates = " | ".join(f"{row[k]['median_ms']:8.3f} ms {row[k]['gflops']:6.1f}" for k in works)
                print(f"{name:27} {memory:13} | {rates}", flush=True)
    return rows


def shape(text):
    """`3x32x32` as (channels, height, width)."""
    sides = text.split("x")
    if len(sides) != 3 or not all(side.isdecimal() and int(side) > 0 for side in sides):
        raise argparse.ArgumentTypeError(f"{text}: expected three sizes such as 3x32x32")
    return tuple(map(int, sides))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    step = commands.add_parser("step", help="whole training steps; prints one JSON object")
    step.add_argument("--model", required=True)
    step.add_argument("--batch", type=int, default=128)
    step.add_argument("--shape", type=shape, default=(3, 32, 32), help="shape of an image (default 3x32x32)")
    step.add_argument("--threads", type=int, default=1)
    step.add_argument("--mode", choices=MODES, default="default")
    step.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    step.add_argument("--evaluation", action="store_true", help="measure evaluations instead of training steps")
    step.add_argument("--warm-up", type=int, default=3, help="steps before the measured ones (default 3)")
    step.add_argument("--steps", type=int, default=10, help="measured steps (default 10)")
    step.add_argument("--fused", action=argparse.BooleanOptionalAction, default=True, help="use SGD's fused update")
    conv = commands.add_parser("layers", help="median ms and best GFLOP/s of forward, input and weight gradient")
    conv.add_argument("--batch", type=int, default=128)
    conv.add_argument("--threads", type=int, default=1)
    conv.add_argument("--only", default="", help="measure only layers whose name contains this")
    conv.add_argument("--ms", type=float, default=150, help="milliseconds per measurement (default 150)")
    conv.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    args = parser.parse_args()
    with torch.no_grad() if args.command == "layers" else torch.enable_grad():
        result = measure_step(args) if args.command == "step" else measure_layers(args)
    if args.command == "step" or args.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
