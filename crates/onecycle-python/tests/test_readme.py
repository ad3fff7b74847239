"""The README's lines for Python run as printed."""

import re

import pytest
from conftest import REPOSITORY

torch = pytest.importorskip("torch", reason="needs PyTorch")


def test_the_readmes_lines(capsys):
    text = (REPOSITORY / "README.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    torch.manual_seed(0)
    names = {}
    exec(code, names)
    assert names["result"].epochs[-1]["val_accuracy"] > 0.75
    assert "epoch 5/5" in capsys.readouterr().out
