"""`products=onednn`: right, or refused with the reason; the process is as before."""

import pytest
import torch

from lab.core.attention.params import Params
from lab.core.attention.products import by, by_onednn, why_not
from lab.core.attention.trial import case
from lab.core.run.context import TrialContext
from lab.core.trial import Refused


def setting():
    return torch.backends.mkldnn.matmul.fp32_precision


def test_the_setting_of_the_process_is_given_back():
    before = setting()
    with pytest.raises(KeyError), by_onednn():
        assert setting() == "bf16"
        raise KeyError
    assert setting() == before


@pytest.mark.parametrize("direction", ["fwd", "fwd+bwd"])
@pytest.mark.parametrize("variant", ["standard", "flash"])
def test_attention_by_onednn_is_right_or_refused(variant, direction, tmp_path):
    params = Params(products="onednn", seq_len=200, direction=direction)
    context = TrialContext(variant, 0, "cpu", 1, tmp_path, tmp_path)
    if why := why_not():
        with pytest.raises(Refused, match=f"products=onednn: {why[:20]}"):
            case(params, context)
        return
    before = setting()
    made = case(params, context)
    assert made.check()["error"] < 1e-4
    made.call()
    assert setting() == before


def test_other_dtypes_and_devices_are_refused_and_pytorch_is_left_alone():
    for params, device in (
        (Params(products="onednn", dtype="bfloat16"), "cpu"),
        (Params(products="onednn"), "cuda"),
    ):
        with pytest.raises(Refused, match="for float32 on a CPU"):
            by(params, device)

    def function():
        return setting()

    assert by(Params(), "cpu")(function) is function
