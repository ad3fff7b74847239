"""The examples in the documentation of the module, and what the documentation must have."""

import doctest

import pytest

import onecycle
from onecycle import _policies, _policy


@pytest.mark.parametrize("module", [onecycle, _policies, _policy])
def test_examples(module):
    names = {name: getattr(onecycle, name) for name in onecycle.__all__} | {"onecycle": onecycle}
    failed, attempted = doctest.testmod(module, extraglobs=names)
    assert failed == 0 and attempted > 0


@pytest.mark.parametrize("name", _policies.__all__)
def test_every_policy_has_formula_range_and_source(name):
    text = getattr(onecycle, name).__doc__
    assert "| range |" in text and "Source:" in text or name == "TorchSequential"
    # No remains of Rust.
    for remains in ("::new", "Span::", "vec!", "[`", "use onecycle", "Some("):
        assert remains not in text, remains


def test_public_names_are_documented():
    for name in onecycle.__all__:
        value = getattr(onecycle, name)
        assert name == "__version__" or (value.__doc__ or "").strip(), name
