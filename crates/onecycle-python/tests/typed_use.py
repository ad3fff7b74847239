"""Use of the module with types: mypy must accept this file, and reject the lines with an expected error."""

from typing import assert_type

import onecycle

plan = onecycle.OneCycle(0.8, annihilation="13ep", momentum=(0.95, 0.85), weight_decay=1e-4).plan(steps=100)
assert_type(plan, onecycle.Plan)
assert_type(plan[3], onecycle.Hyper)
assert_type(plan[3:5], list[onecycle.Hyper])
assert_type(plan.at(3).momentum, float | None)
for hyper in plan:
    assert_type(hyper.lr, float)
suggestions = onecycle.LossCurve([0.1, 0.2], [1.0, 2.0]).suggest()
assert_type(suggestions.one_cycle_max, float | None)
onecycle.Warmup("1ep", onecycle.Step(0.1, "30ep"), scaling="linear", reference_batch=256)
onecycle.OneCycle("0.8")  # type: ignore[arg-type]
onecycle.OneCycle(0.8, shape="cubic")  # type: ignore[arg-type]
onecycle.OneCycle(0.8, peak=3)  # type: ignore[call-arg]
