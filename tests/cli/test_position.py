"""`lab run position` as a person runs it, with trainings of a few steps."""

import json

import pytest

TINY = (
    "-s", "steps={copy: 4, count: 4}", "-s", "lengths=[4, 8]", "-s", "length=4,8", "-s", "trained=4", "-s", "task=count",
    "-s", "problems=6", "-s", "selection=4", "-s", "d_model=16", "-s", "d_ff=16", "-s", "layers=1", "-s", "checkpoints=2",
)  # fmt: skip
MINE = """
import torch
from lab.core.position import Encoding

def encoding(sizes):
    return Encoding(slopes=torch.full((sizes.heads,), 0.5))
"""


def test_a_learned_table_is_undefined_beyond_its_rows_and_yours_stands_beside_it(lab, tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    done = lab(
        "run", "position", "--seeds", "1", "--variants", "learned", "--add", "mine=./mine.py:encoding", *TINY
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "undefined beyond 4" in done.stdout + done.stderr
    shown = lab("compare", "position", "--metric", "token", "--rows", "length", "--format", "json")
    assert shown.returncode == 0 and json.loads(shown.stdout)
    for name in ("none", "mine", "learned"):
        assert name in shown.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-s", "d_model=36"), "d_model is 36; it must be an even multiple of its 4 heads"),
        (("-s", "rope.implementation=rop"), "no position encoding rop. Did you mean rope?"),
        (("-s", "rope.implementation=axial"), "axial: it tells places on a grid, and a text has one axis"),
        (("-s", "rope.implementation=coupled"), "coupled: digits of one worth share a position, and copy has no numbers"),
        (("-s", "rope-yarn.factor=0"), "factor"),
        (("-s", "length=0,16"), "length"),
        (("-s", "length=20"), "length is 20, where no checkpoint is judged"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(lab, options, message):
    done = lab("run", "position", "--dry-run", *options)
    assert done.returncode == 2 and message in done.stderr + done.stdout and "Traceback" not in done.stderr
