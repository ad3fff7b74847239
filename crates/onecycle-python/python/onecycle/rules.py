"""The formulas of the rules and the running means of other tools, for any losses.

`LossCurve.suggest` applies each rule with the smoothing, stop and trimming of its original. The functions
here are the bare formulas.
"""

from ._native import running_mean, steepest
from ._native import rule_names as names
from ._native import verdict_advice as advice

__all__ = ["advice", "names", "running_mean", "steepest"]
