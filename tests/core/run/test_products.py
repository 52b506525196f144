"""What the products of a training run are done by: found once, recorded, kept to."""

import json

import pytest

from lab.core.experiment.mistakes import Mistakes
from lab.core.measure.fastest_products import Comparison, keep, record
from lab.core.run import schedule
from lab.core.run.environment import Resources
from lab.core.run.folder import Run
from lab.core.run.plan import Trial
from lab.core.run.process import Job
from lab.core.run.products import products_of

ONE = Resources("cpu", 1, 1)
GONE = {"forward, large": Comparison("gone", "mkl", {"gone": 2.0}, {"gone": 1.0, "bad": 900.0}, ["bad"])}


@pytest.fixture
def surroundings_of_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_PRODUCTS", "fastest")
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LAB_START", "spawn")  # a server of other tests has their variables


def run_in(folder, **facts):
    folder.mkdir()
    (folder / "environment.json").write_text(json.dumps(facts))
    return Run(folder)


def test_libraries_are_compared_before_the_first_run_and_not_again(surroundings_of_a_run, tmp_path):
    said = []
    first, second = run_in(tmp_path / "a", cpu="A processor"), run_in(tmp_path / "b")
    found = products_of(first, ONE, said.append)
    assert len(said) == 1 and found["setting"] == "fastest" and set(found["threads"]) == {"1"}
    assert first.environment == {"cpu": "A processor", "products": found, "lm_kernels": True}
    assert products_of(second, ONE, said.append) == found and len(said) == 1


def test_a_run_keeps_to_what_it_recorded(surroundings_of_a_run, tmp_path):
    keep(1, {"float32": GONE})
    recorded = {"setting": "pytorch"}
    assert products_of(run_in(tmp_path / "a", products=recorded), ONE, pytest.fail) == recorded


def test_a_gpu_and_the_setting_pytorch_compare_nothing(surroundings_of_a_run, tmp_path, monkeypatch):
    assert products_of(run_in(tmp_path / "a"), Resources("cuda", 1, 1), pytest.fail) == {"setting": "pytorch"}
    monkeypatch.setenv("LAB_PRODUCTS", "pytorch")
    assert products_of(run_in(tmp_path / "b"), ONE, pytest.fail) == {"setting": "pytorch"}


def test_a_named_library_that_does_nothing_right_is_a_mistake(surroundings_of_a_run, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_PRODUCTS", "onednn")
    keep(1, {"float32": GONE})
    with pytest.raises(Mistakes, match="LAB_PRODUCTS=onednn"):
        products_of(run_in(tmp_path / "a"), ONE, pytest.fail)


def test_a_trial_whose_library_is_gone_fails_because_of_the_machine(surroundings_of_a_run, tmp_path):
    trial = Trial("train", "a", {}, 0, "train")
    recorded = record("fastest", {1: {"float32": GONE}})
    job = Job(trial, "", "", str(tmp_path / "t"), {}, (), "cpu", 1, 1.0, products=recorded)
    schedule.run([job], 1, 60.0, lambda event: None)
    result = json.loads((tmp_path / "t" / "trial.json").read_text())
    assert result["cause"] == "machine" and "gone in float32, which is not here" in result["reason"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=str)
@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ("LAB_PRODUCTS", "should be fastest"),
        ("LAB_LM_KERNELS", "should be 0 or 1"),
        ("LAB_START", "should be"),
    ],
)
def test_a_misspelt_setting_ends_the_command(lab, more, variable, says):
    done = lab("run", "kd", "--quick", *more, **{variable: "maybe"})
    assert done.returncode == 2 and f"{variable}=maybe" in done.stderr and says in done.stderr


def test_a_run_goes_on_with_the_kernels_it_began_with(surroundings_of_a_run, tmp_path, monkeypatch):
    recorded = {"setting": "pytorch"}
    run = run_in(tmp_path / "a", products=recorded, lm_kernels=True)
    assert products_of(run, ONE, pytest.fail) == recorded
    monkeypatch.setenv("LAB_LM_KERNELS", "0")
    with pytest.raises(Mistakes, match="began with LAB_LM_KERNELS=1"):
        products_of(run, ONE, pytest.fail)
