"""Which library multiplies: the choice, what is kept of it, what a run records."""

import json
from dataclasses import asdict

import pytest
import torch

from lab.core.measure import compared_products, fastest_products
from lab.core.measure.compared_products import (
    SHAPES,
    chosen,
    errors_of,
    is_right,
    operands,
    times_of,
)
from lab.core.measure.fastest_products import (
    ROLES,
    SIZES,
    Comparison,
    Unusable,
    find,
    in_words,
    keep,
    kept,
    record,
    setting,
    size_of,
    table_of,
    use,
)
from lab.core.measure.products import Library, libraries

FASTER = Comparison(
    "onednn", "mkl", {"onednn": 2.0, "ours": 1.2}, {"onednn": 1.3, "ours": 1.1, "bad": 900.0}, ["bad"]
)
SAME = Comparison(
    "mkl", "mkl", {"onednn": 1.0, "ours": 1.0}, {"onednn": 1.0, "ours": 1.0, "bad": 900.0}, ["bad"]
)
FOUND = {"float32": {"forward, large": FASTER, "weight gradient, small": SAME}}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(fastest_products, "_in_use", None)
    return tmp_path


def of_rounds(*rounds, default=1.0, n=8):
    """Paired seconds: PyTorch takes `default`, and "other" what each round says."""
    return [{"mkl": [default] * n, "other": list(times)} for times in rounds]


def test_a_clear_gain_is_taken_and_a_slight_one_left():
    errors = {"mkl": 1.0, "other": 1.0}
    assert chosen("mkl", of_rounds([0.5] * 8, [0.6] * 8), errors).library == "other"
    assert chosen("mkl", of_rounds([0.95] * 8, [0.95] * 8), errors).library == "mkl"
    assert chosen("mkl", of_rounds([1.5] * 8, [1.5] * 8), errors).library == "mkl"


def test_a_gain_in_one_round_or_in_half_of_the_samples_is_noise():
    errors = {"mkl": 1.0, "other": 1.0}
    assert chosen("mkl", of_rounds([0.5] * 8, [1.0] * 8), errors).library == "mkl"
    assert chosen("mkl", of_rounds([0.2, 1.0] * 4, [0.2, 1.0] * 4), errors).library == "mkl"


def test_of_several_the_fastest_is_taken():
    times = {"mkl": [1.0] * 8, "a": [0.8] * 8, "b": [0.5] * 8}
    found = chosen("mkl", [times, times], {"mkl": 1.0, "a": 1.0, "b": 2.0})
    assert found.library == "b" and found.faster == {"a": 1.25, "b": 2.0} and found.refused == []


@pytest.mark.parametrize("error", [9.0, float("inf"), float("nan")])
def test_what_errs_too_much_is_refused_by_name_however_fast(error):
    times = {"mkl": [1.0] * 8}
    found = chosen("mkl", [times, times], {"mkl": 1.0, "wrong": error})
    assert found.library == "mkl" and found.refused == ["wrong"] and "wrong" in found.error


def rounding(a, b, out=None):
    """As oneDNN does float32 on a processor with AMX, if it is allowed to."""
    return (a.bfloat16() @ b.bfloat16()).float()


def eight_times(a, b, out=None):
    return [torch.mm(a, b) for _ in range(8)][-1]


def failing(a, b, out=None):
    raise RuntimeError("could not create a primitive")


@pytest.mark.parametrize("role", ROLES)
def test_libraries_that_round_or_fail_are_refused_and_real_ones_are_not(role):
    known = dict(libraries(torch.float32))
    known |= {f.__name__: Library(f.__name__, f, None) for f in (rounding, failing)}
    for size, shapes in SHAPES.items():
        errors = errors_of(known, [operands(role, *shape, torch.float32) for shape in shapes])
        assert errors["rounding"] > 100 and errors["failing"] == float("inf"), size
        assert {name for name, error in errors.items() if is_right(error)} == set(libraries(torch.float32))


def test_a_slow_default_loses_to_a_real_library_and_a_slow_library_to_the_default():
    products = [operands("forward", *shape, torch.float32) for shape in SHAPES["medium"]]
    mm, slow = Library("mm", torch.mm, None), Library("slow", eight_times, None)
    mm = Library("mm", lambda a, b, out: torch.mm(a, b), None)
    for known, best in (({"slow": slow, "mm": mm}, "mm"), ({"mm": mm, "slow": slow}, "mm")):
        errors = errors_of(known, products)
        rounds = [times_of(known, errors, products) for _ in range(2)]
        assert chosen(next(iter(known)), rounds, errors).library == best


def test_what_is_compared_is_the_least_of_its_size():
    for size, shapes in SHAPES.items():
        for role in ROLES:
            for shape in shapes:
                a, b = operands(role, *shape, torch.float32)
                assert size_of(*a.shape, b.shape[1]) == size
                assert 2 * a.numel() * b.shape[1] == SIZES[size]


def test_small_and_narrow_products_stay_with_pytorch():
    assert size_of(64, 64, 255) is None
    assert size_of(100_000, 31, 1000) is None and size_of(100_000, 32, 1000) == "large"


def test_what_was_found_is_kept_for_this_machine_and_number_of_threads(cache):
    assert kept(1) is None
    keep(1, FOUND)
    assert kept(1) == FOUND and kept(2) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"of": 1, "found": {}}', b"\xff", b"null"])
def test_a_damaged_file_counts_as_none_and_is_replaced(cache, content, monkeypatch):
    keep(1, FOUND)
    [file] = (cache / "products").glob("*.json")
    file.write_bytes(content)
    assert kept(1) is None
    monkeypatch.setattr(compared_products, "compared", lambda threads: FOUND)
    assert find(1) == FOUND == kept(1)
    monkeypatch.setattr(compared_products, "compared", lambda threads: pytest.fail("it is kept"))
    assert find(1) == FOUND


def test_another_processor_code_or_setting_of_a_library_is_another_machine(cache, monkeypatch):
    keep(1, FOUND)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert kept(1) is None
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA")
    monkeypatch.setattr(fastest_products, "source_digest", lambda name: "other")
    assert kept(1) is None


def test_a_run_records_what_it_multiplies_by():
    recorded = json.loads(json.dumps(record("fastest", {1: FOUND, 2: {"float32": {"forward, large": SAME}}})))
    assert table_of(recorded) == {(1, "float32", "forward", "large"): "onednn"}
    assert recorded["threads"]["1"]["float32"]["forward, large"] == asdict(FASTER)
    assert in_words(recorded) == {
        "products, 1 thread": "float32: forward, large by onednn (2x); mkl for the rest; bad refused (error 900x)",
        "products, 2 threads": "float32: mkl; bad refused (error 900x)",
    }
    assert record("pytorch", {1: FOUND}) == {"setting": "pytorch"}


def test_a_library_that_is_named_does_all_that_it_does_right():
    named = table_of(record("ours", {1: FOUND}))
    assert named == {(1, "float32", *name.split(", ")): "ours" for name in FOUND["float32"]}
    with pytest.raises(Unusable, match="LAB_PRODUCTS=bad"):
        record("bad", {1: FOUND})


def test_a_recorded_library_that_is_not_here_is_named(cache):
    gone = {"forward, large": Comparison("gone", "mkl", {"gone": 2.0}, {"gone": 1.0}, [])}
    with pytest.raises(Unusable, match=r"gone in float32, which is not here.*start a new one"):
        use(record("fastest", {1: {"float32": gone}}))


def test_the_setting_is_one_of_four(monkeypatch):
    monkeypatch.setenv("LAB_PRODUCTS", "")
    assert setting() == "fastest"
    monkeypatch.setenv("LAB_PRODUCTS", "mlk")
    with pytest.raises(ValueError, match="should be fastest, pytorch, onednn or ours"):
        setting()


def test_outside_of_a_run_what_is_kept_is_used_and_nothing_compared(cache, monkeypatch):
    monkeypatch.setenv("LAB_PRODUCTS", "fastest")
    monkeypatch.setattr(
        compared_products, "compared", lambda threads: pytest.fail("nothing is to be compared")
    )
    assert fastest_products.in_use() == {}
    keep(1, FOUND)
    monkeypatch.setattr(fastest_products, "_in_use", None)
    assert fastest_products.in_use() == {(1, "float32", "forward", "large"): "onednn"}
