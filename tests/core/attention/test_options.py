"""An option is declared in several places; one that is forgotten in one of them would be ignored there without a word."""

import inspect
from dataclasses import fields

import pytest
import torch

from lab.core.attention import attention, attention_decode
from lab.core.attention.arguments import (
    IN_USE,
    MASK_GRADIENT,
    TENSORS,
    TOP_LEFT,
    MaskedArguments,
    Options,
    ScoreArguments,
    check_options,
)
from lab.core.attention.checks.shapes import FURTHER, SHAPES, inputs
from lab.core.attention.registry import BACKENDS

OPTIONS = {*MaskedArguments.__annotations__, "return_lse"} - {"backend"}
FIELDS = {"align" if field.name == "shift" else field.name for field in fields(Options)}


def named(function):
    """The parameters that are given by name."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


def test_each_option_is_a_parameter_and_a_field():
    assert named(attention).keys() == OPTIONS | {"backend"}
    assert named(check_options).keys() == OPTIONS == FIELDS
    defaults = {each.default for each in named(check_options).values()}
    assert defaults == {inspect.Parameter.empty}, "attention could forget to hand it on"


def test_a_backend_can_lack_each_option():
    unusual = FIELDS - {"causal", "scale", "attn_mask", "align"} | {TOP_LEFT, MASK_GRADIENT}
    assert IN_USE.keys() == unusual
    assert unusual <= BACKENDS["standard"].has


def test_a_case_of_the_battery_has_each_option():
    """But for dropout, of which test_features.py has its own, and the gradient of a mask, which `gradients=True` asks for."""
    found = [inputs(shape, torch.float32).options for shape in (*SHAPES, *FURTHER)]
    missing = [name for name, in_use in IN_USE.items() if not any(map(in_use, found))]
    assert missing == ["dropout_p", "dropout_seed", MASK_GRADIENT]
    assert {name for options in found for name in options.tensors} == {*TENSORS}


def test_decoding_takes_every_option_but_those_that_make_no_sense_for_one_query():
    taken = {*named(attention_decode), *ScoreArguments.__annotations__}
    assert OPTIONS - taken == {
        "causal", "align", "window_size", "attn_mask", "dropout_p", "dropout_seed", "return_lse"
    }  # fmt: skip
    with pytest.raises(TypeError, match="unexpected keyword argument 'causal'"):
        attention_decode(*(torch.zeros(1, 1, 1, 8) for _ in range(3)), causal=True)
