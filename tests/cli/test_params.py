"""`lab params`: what can be set, and what sets it."""

from __future__ import annotations

import json
from pathlib import Path

from ..conftest import KNOWN, Lab


def test_every_parameter_is_listed_with_what_sets_it(lab: Lab) -> None:
    done = lab("params", "softmax", COLUMNS="80")
    assert done.returncode == 0 and max(map(len, done.stdout.splitlines())) <= 80
    shown = " ".join(done.stdout.split())
    assert "columns axis 1000, 4000, 32000, 128000; whole number ≥ 1, default 1000 Numbers in a row." in shown
    assert "variants: reference-naive false; naive false" in shown
    assert "-s KEY=1,2" in shown and "-s variants.NEW.KEY=VALUE" in shown


def test_one_json_document_holds_all_of_it(lab: Lab) -> None:
    found = {one["name"]: one for one in json.loads(lab("params", "kd-loss-bias", "--json").stdout)}
    assert {"forward-kl", "uld"} <= set(found["loss"]["choices"])
    assert {"by": "axis", "name": "", "values": [1024, 8192]} in found["tokens"]["set_by"]


def test_a_file_of_ones_own_and_a_word(lab: Lab, tmp_path: Path) -> None:
    assert "tenth-slower 1.1" in lab("params", KNOWN).stdout
    assert lab("params", "grpo", "model.hf").stdout.startswith("parameter  here; type; what it means")
    wrong = lab("params", "grpo", "temprature")
    assert wrong.returncode == 2 and wrong.stderr.endswith(
        "no parameter temprature. Did you mean temperature?\n"
    )
