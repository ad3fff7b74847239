#!/usr/bin/env python3
"""Writes the Python classes of all policies from the Rust structs: names, types, defaults, documentation.

    python3 scripts/write_python_policies.py            # writes crates/onecycle-python/python/onecycle/_policies.py
    python3 scripts/write_python_policies.py --check    # fails if that file is not current

The tests of the module compare every default with the one that the crate applies.
"""

import re
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent
CORE = ROOT / "crates/onecycle/src"
OUT = ROOT / "crates/onecycle-python/python/onecycle/_policies.py"

# Values of the functions that `#[serde(default = "..")]` names; by file where a name has two values.
DEFAULTS = {
    "one": "1.0", "tenth": "0.1", "one_step": '"1st"', "yes": "True", "div_factor": "25.0",
    "final_div_factor": "1e4", "three_tenths": "0.3", "base_momentum": "0.85", "max_momentum": "0.95",
    "momentum": "(0.95, 0.85)", "unset": "None", "warmup": "0.05", "decay": "0.2", "flat": "0.75",
    "up": "0.1", "down": "0.3", "third": "1 / 3", "five": "5", "once": "1", "step_size": "2000",
    "pct_final": "0.85", "div_final": "1e5", "quarter": "0.25", "three_quarters": "0.75",
    "moms": "(0.95, 0.85, 0.95)", "two": "2",
    "cyclic.rs:base_momentum": "0.8", "cyclic.rs:max_momentum": "0.9", "restarts.rs:one": "1",
    "v1.rs:moms": "(0.95, 0.85)",
}
TYPES = {
    "f64": "float", "u64": "int", "u32": "int", "i64": "int", "bool": "bool", "Span": "Span",
    "Momentum": "Momentum", "Box<Preset>": "Policy", "Vec<Preset>": "Sequence_[Policy]",
    "Vec<Part>": "Sequence_[Policy | tuple[Span | None, Policy]]", "String": "str",
    "Vec<u64>": "Sequence_[int]", "Vec<f64>": "Sequence_[float]",
    "Vec<(Span, f64)>": "Sequence_[tuple[Span, float]]",
    "Vec<(u64, f64)>": "Sequence_[tuple[int, float]] | Mapping[int, float]",
    "Vec<Scheduler>": "Sequence_[Policy]", "Vec<Schedule>": "Sequence_[Policy]",
    "Vec<Annealer>": "Sequence_[Mapping[str, Any]]",
    "Vec<WarmupCosineDecay>": "Sequence_[Mapping[str, Any]]",
    "[f64; 3]": "tuple[float, float, float]", "[f64; 2]": "tuple[float, float]",
}
# Arguments of the example in each class's documentation.
EXAMPLES = {
    "one_cycle": "0.8", "clr": '0.1, 0.5, "10%"', "piecewise_constant": '[(0, 0.1), ("50%", 0.01)]',
    "constant": "0.1", "step": '0.1, "30%"', "exponential": "0.1, lr_final=0.001",
    "polynomial": "0.4, power=2.0", "cosine": "0.4", "cosine_restarts": "0.4, 25", "linear": "0.4",
    "warmup": '"10%", Step(0.1, "30%")', "warmup_stable_decay": "0.4", "flat_cosine": "0.4",
    "trapezoid": "0.4", "sequence": '[("25%", Linear(0.0, lr_final=0.4)), Cosine(0.4)]',
    "product": "[Linear(0.4), Step(1.0, 10, gamma=0.5)]",
    "torch_one_cycle": "0.1, total_steps=100", "torch_cyclic": "0.1, 0.5",
    "torch_multi_step": "[30, 60], lr=0.1", "torch_step": "30, lr=0.1",
    "torch_exponential": "0.99, lr=0.1", "torch_cosine_annealing": "100, lr=0.1",
    "torch_cosine_annealing_warm_restarts": "25, lr=0.1", "torch_linear": "lr=0.1",
    "torch_polynomial": "lr=0.1, total_iters=100", "torch_constant": "lr=0.1",
    "torch_sequential": "0.1, [TorchLinear(total_iters=5), TorchCosineAnnealing(95)], [5]",
    "torch_trapezoid": "0.1, 10, 60, 30", "optax_cosine_onecycle": "100, 0.5",
    "optax_linear_onecycle": "100, 0.5", "optax_warmup_cosine_decay": "0.0, 0.4, 10, 100",
    "optax_cosine_decay": "0.4, 100",
    "optax_sgdr": "[dict(init_value=0.0, peak_value=0.4, warmup_steps=5, decay_steps=50)]",
    "optax_piecewise_constant": "0.4, boundaries_and_scales={50: 0.1}",
    "optax_piecewise_interpolate": '"linear", 0.1, boundaries_and_scales={50: 4.0, 99: 0.5}',
    "optax_polynomial": "0.4, 0.0, 2.0, 100", "optax_linear": "0.0, 0.4, 100",
    "optax_exponential_decay": "0.4, 50, 0.25",
    "optax_join": "[OptaxLinear(0.0, 0.4, 10), OptaxConstant(0.4)], [10]", "optax_constant": "0.1",
    "fastai_one_cycle": "0.5", "fastai_v1_one_cycle": "0.5", "fastai_flat_cos": "0.4",
    "fastai_sgdr": "2, 1, 0.4", "fastai_combined_cos": "0.25, 0.02, 0.5, 0.0",
    "fastai_combine_scheds":
        '[1.0], [dict(func="SchedLin", args=dict(start=0.4, end=0.0))]',
}
STEPS = {"fastai_sgdr": 99}


def sources():
    """The text of every file with presets, by its path."""
    folders = ("preset", "torch", "optax", "fastai")
    return {path: path.read_text() for folder in folders for path in sorted((CORE / folder).glob("*.rs"))}


def presets():
    """`(kind, class name, module, struct)` in the order of the crate."""
    text = (CORE / "preset.rs").read_text()
    return re.findall(r'"(\w+)" => (\w+)\((\w+)::(\w+)\)', text)


def enums(texts):
    """The names of each enum's variants as serde reads them, and its default."""
    found = {}
    for text in texts.values():
        for name, body in re.findall(r"pub enum (\w+) \{\n(.*?)\n\}", text, re.S):
            variants, rename, default, first = [], None, None, False
            for line in body.splitlines():
                if match := re.search(r'#\[serde\(rename = "([^"]+)"\)\]', line):
                    rename = match[1]
                first = first or "#[default]" in line
                if match := re.match(r"    (\w+)[,(]", line):
                    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", match[1]).lower()
                    variants.append(rename or snake)
                    default = variants[-1] if first else default
                    rename, first = None, False
            found[name] = (variants, default)
    return found


def struct(name, module, texts):
    """Documentation and fields of a struct: `(name, type, serde attributes)`."""
    for path, text in texts.items():
        if path.parent.name != module:
            continue
        pattern = rf"((?:///[^\n]*\n)+)(?:#\[[^\n]*\n)*pub struct {name} \{{\n(.*?)\n\}}"
        if match := re.search(pattern, text, re.S):
            docs = [line[4:] for line in match[1].splitlines()]
            fields, attributes = [], ""
            for line in match[2].splitlines():
                if "#[serde" in line:
                    attributes += line.strip()
                elif field := re.match(r"    pub (\w+): (.*),$", line):
                    renamed = re.search(r'rename = "(\w+)"', attributes)
                    fields.append((renamed[1] if renamed else field[1], field[2], attributes))
                    attributes = ""
            return path.name, docs, fields
    raise SystemExit(f"no struct {module}::{name}")


def python(value):
    """A value of the Rust documentation as Python writes it."""
    replacements = [
        (r"`(Linear|Cosine|Sqrt|None|Triangular2?|ExpRange)`(?!\])", lambda m: f'`"{snake(m[1])}"`'),
        (r"`(?:crate::)?Momentum::Cycle \{ high: ([\d.]+), low: ([\d.]+) \}`", r"`(\1, \2)`"),
        (r"`Cycle \{ high, low \}`", "`(high, low)`"),
        (r"`(?:Momentum::)?Unset`", "`None`"),
        (r"`(?:Momentum::)?Constant\(([\d.]+)\)`", r"`\1`"),
        (r"`Span::Fraction\(([\d.]+)\)`", r"`\1`"),
        (r"`Span::Steps\((\d+)\)`", r'`"\1st"`'),
        (r"Span::Epochs\(([\d.]+?)(?:\.0)?\)", r'"\1ep"'),
        (r"Span::Fraction\(([\d.]+)\)", r"\1"),
        (r"`vec!(\[[^`]*\])`", r"`\1`"),
        (r"`(?:Clr|Leg|Decay)(?:Mode|Shape)::(\w+)`", lambda m: f'`"{snake(m[1])}"`'),
        (r"`Scaling::(\w+)`", lambda m: f'`"{snake(m[1])}"`'),
    ]
    for pattern, new in replacements:
        value = re.sub(pattern, new, value)
    return value


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def documentation(docs, kind, name):
    """The Rust documentation without its Rust examples and links, with a Python example."""
    lines, skip, code = [], False, False
    for line in docs:
        if line.startswith("```"):
            if skip:
                skip = False
            elif code:
                code = False
                lines.append("")
            elif line == "```text":
                code = True
                lines.append("::")
                lines.append("")
            else:
                skip = True
            continue
        if not skip:
            lines.append("    " + line if code else line)
    text = "\n".join(lines)
    text = re.sub(
        r"\n*Each parameter is a field and, except for `lr_max`, a method:.*?\n\n", "\n\n", text, flags=re.S
    )
    # Links to other presets name the Python classes.
    text = re.sub(r"\[`(\w+)::(\w+)`\]\((?:crate::)?[\w:]+\)", lambda m: f"`{python_name(m[1], m[2], kind)}`", text)
    text = re.sub(r"\[`(\w+)`\](?:\((?:crate::)?[\w:]+\))?(s?)", lambda m: f"`{python_name('', m[1], kind)}`{m[2]}", text)
    text = "\n".join(python(line) if line.startswith("|") else line for line in text.splitlines())
    text = re.sub(r"\n{3,}", "\n\n", text).strip()
    steps = STEPS.get(kind, 100)
    return f"{text}\n\n>>> len({name}({EXAMPLES[kind]}).plan(steps={steps}))\n{steps}"


def python_name(module, name, kind):
    own = kind.split("_")[0]
    for other, python_class, path, rust in presets():
        if rust == name and (module or (own if own in ("torch", "optax", "fastai") else "preset")) == path:
            return python_class
    for other, python_class, path, rust in presets():
        if rust == name and path == "preset":
            return python_class
    return {"AtEnd": "at_end"}.get(name, name)


def field_type(rust, variants):
    optional = re.fullmatch(r"Option<(.*)>", rust)
    inner = optional[1] if optional else rust
    if inner in variants and inner not in TYPES:
        kind = "Literal[" + ", ".join(f'"{value}"' for value in variants[inner][0]) + "]"
    else:
        kind = TYPES[inner]
    return f"{kind} | None" if optional else kind


def default(rust, attributes, file, variants):
    """The default in Python, or None for a required field."""
    if match := re.search(r'default = "(?:[\w:]*::)?(\w+)"', attributes):
        return DEFAULTS.get(f"{file}:{match[1]}", DEFAULTS.get(match[1]))
    if "default" not in attributes:
        return None
    if rust.startswith("Option<"):
        return "None"
    if rust in variants:
        return f'"{variants[rust][1]}"'
    return {"f64": "0.0", "u64": "0", "i64": "0", "bool": "False", "Vec<(u64, f64)>": "()"}[rust]


def write_class(kind, name, module, rust, texts, variants):
    file, docs, fields = struct(rust, module, texts)
    required, optional, names = [], [], []
    for field, rust_type, attributes in fields:
        names.append(field)
        value = default(rust_type, attributes, file, variants)
        annotation = field_type(rust_type, variants)
        (required if value is None else optional).append(
            f"{field}: {annotation}" + ("" if value is None else f" = {value}")
        )
    shared = []
    if "momentum" not in names:
        shared.append("momentum: Curve | None = None")
    shared += [
        "weight_decay: Curve | None = None",
        "batch_size: BatchSize | None = None",
        'at_end: AtEnd = "hold"',
    ]
    body = textwrap.indent(documentation(docs, kind, name), "    ")
    parameters = ["self", *required, "*", *optional, *shared]
    lines = [f"class {name}(Policy):", f'    r"""{body.lstrip()}', '    """', "", f'    kind = "{kind}"', "    __slots__ = ()", ""]
    for parameter in required + optional:
        lines.append("    " + parameter.split(" = ")[0])
    lines += ["", "    def __init__("]
    lines += [f"        {parameter}," for parameter in parameters]
    lines += ["    ) -> None:", "        self._set(", "            {"]
    lines += [f'                "{field}": {field},' for field in names]
    lines += ["            },"]
    if "momentum" not in names:
        lines.append("            momentum=momentum,")
    lines += ["            weight_decay=weight_decay,", "            batch_size=batch_size,", "            at_end=at_end,", "        )"]
    return "\n".join(lines)


def module():
    texts = sources()
    variants = enums(texts)
    header = '''"""Every policy as a class with keyword arguments.

Written by scripts/write_python_policies.py from the Rust structs. Do not edit.

All classes also take `weight_decay` and, unless they set it themselves, `momentum` (a number, a list of
points and values, or a curve), `batch_size`, and `at_end` (`"hold"`, `"error"` or `"restart"`). See
`onecycle.Policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Sequence_
from typing import Any, Literal

from ._policy import AtEnd, BatchSize, Curve, Momentum, Policy, Span
'''
    names = [name for _, name, _, _ in presets()]
    exported = "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]\n"
    classes = [write_class(*preset, texts, variants) for preset in presets()]
    return header + "\n" + exported + "\n\n" + "\n\n\n".join(classes) + "\n"


def main():
    text = module()
    if "--check" in sys.argv:
        if not OUT.exists() or OUT.read_text() != text:
            raise SystemExit(f"{OUT.relative_to(ROOT)} is not current: run scripts/write_python_policies.py")
        return
    OUT.write_text(text)
    print(f"{OUT.relative_to(ROOT)}: {len(presets())} policies")


if __name__ == "__main__":
    main()
