"""Values of optax schedules at counts 0 .. steps - 1, in float64 and not jitted.

The series go some steps beyond the end of each schedule. `raises` holds configurations that optax
refuses, with its message. JSON has no integer keys: `boundaries_and_scales` is a list of pairs.
"""

import jax
import optax

from _goldens import read_cases, write_golden

jax.config.update("jax_enable_x64", True)


def schedule(func, kwargs):
    kwargs = dict(kwargs)
    if "boundaries_and_scales" in kwargs:
        kwargs["boundaries_and_scales"] = dict(kwargs["boundaries_and_scales"])
    if func == "join_schedules":
        kwargs["schedules"] = [schedule(inner["func"], inner["kwargs"]) for inner in kwargs["schedules"]]
    return getattr(optax, func)(**kwargs)


def record(case):
    """Runs a case. Returns it with the recorded values, or with the message of the exception."""
    case = case | {"tags": case.get("tags", [])}
    try:
        values = schedule(case["func"], case["kwargs"])
        return case | {"values": [float(values(n)) for n in range(case["steps"])]}
    except Exception as error:
        return case | {"raises": f"{type(error).__name__}: {error}"}


done = [record(case) for case in read_cases("schedules_optax")]
write_golden("onecycle", "schedules_optax", ["optax", "jax", "jaxlib"], {
    "cases": [case for case in done if "raises" not in case],
    "raises": [case for case in done if "raises" in case],
})
