"""The names that are called from outside."""

import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from lab.core.distill import losses

CALLED = ["forward_kl", "reverse_kl", "jsd", "tvd", "top_k", "random_sampling"]
OTHERS = ["feature", "rkd_distance", "rkd_angle", "similarity", "minilm_relations", "attention_transfer"]


@pytest.mark.parametrize("name", CALLED + OTHERS)
def test_a_name_is_a_function_and_stays_one(name):
    for module in Path(losses.__file__).parent.glob("[a-z]*.py"):
        import_module(f"lab.core.distill.losses.{module.stem}")  # which a name of the same sound would hide
    assert callable(getattr(losses, name))
    assert name in losses.__all__


@pytest.mark.parametrize("name", CALLED)
def test_their_arguments_are_in_one_order(name):
    parameters = list(signature(getattr(losses, name)).parameters.values())
    assert [p.name for p in parameters[:4]] == ["student_logits", "teacher_logits", "mask", "temperature"]
    assert (parameters[2].default, parameters[3].default) == (None, 1.0)


def test_all_names_are_there_and_others_are_not():
    assert all(callable(getattr(losses, name)) for name in losses.__all__)
    with pytest.raises(AttributeError, match="forward_lk"):
        losses.forward_lk  # noqa: B018


def test_the_package_costs_no_torch():
    code = "import sys, lab.core.distill.losses; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
