"""A perfect student of characters and a perfect subword teacher, on a small language."""

import pytest

from lab.core.distill.bias.texts import by_characters, sample_text
from lab.core.distill.bias.two_vocabularies import minimise


@pytest.fixture(scope="module")
def text():
    return sample_text(48, topics=3, words=60, vocabulary=64, seed=1)


def test_both_read_the_same_text(text) -> None:
    characters, lengths = by_characters(text)
    assert text.ids.shape == (1, 49) and not (text.ids[:, 1:] == text.view.pad).any()
    assert characters.decode()[0][: lengths[0]] == text.decode()[0]
    total = float(text.log_probs().exp().sum(-1).max())
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["exact-marginal", "alm-words"])
def test_a_perfect_student_is_at_rest(text, name) -> None:
    found = minimise(name, text)
    assert found.value < 1e-9 and found.pull < 1e-9 and found.bias < 1e-9 and found.gain < 1e-9


@pytest.mark.parametrize("name", ["uld", "exact-string", "min-ed", "alm-tokens", "marginal"])
def test_a_perfect_student_is_led_away(text, name) -> None:
    found = minimise(name, text)
    assert found.pull > 1e-5 and found.bias > 1e-5 and 0 < found.gain <= found.value


@pytest.mark.parametrize("name", ["exact-string", "min-ed"])
def test_optimisation_finds_the_target(text, name) -> None:
    """For KL(t‖q) the least value is 0, at q = t: so the bias is the loss at the truth, for each character."""
    found = minimise(name, text)
    assert found.gain == pytest.approx(found.value, rel=1e-3)
    assert found.bias == pytest.approx(found.value * found.units, rel=1e-2)
