"""Skills by hand, their frequencies, and Nam's curve against its equations."""

import math

import numpy as np
import pytest
import torch

from lab.core.incentivize.skills.curve import Curve, fitted
from lab.core.incentivize.skills.params import Params
from lab.core.incentivize.skills.parity import Parities, frequencies, parities


def test_labels_by_hand():
    task = Parities(torch.tensor([[0, 2, 3], [4, 1, 5]]), 6)
    bits = torch.tensor([[1, 0, 1, 1, 0, 0], [1, 1, 0, 0, 1, 1]])
    # Bits 0, 2, 3 are 1, 1, 1: odd, even, odd. Bits 4, 1, 5 are 1, 1, 1 as well; of the first row 0, 0, 0.
    assert task.labels(torch.tensor([0, 1]), bits).tolist() == [[1, -1, 1], [1, -1, 1]]
    assert task.labels(torch.tensor([1, 0]), bits).tolist() == [[-1, -1, -1], [1, 1, 1]]


def test_inputs_name_the_skill_and_then_have_its_bits():
    generator = torch.Generator().manual_seed(0)
    task = parities(3, 2, 10, generator)
    skill = torch.tensor([2, 0, 1, 1])
    inputs, labels = task.draw(skill, generator)
    assert inputs.shape == (4, 13) and inputs[:, :3].argmax(1).tolist() == skill.tolist()
    assert (inputs[:, :3].sum(1) == 1).all()
    assert torch.equal(labels, task.labels(skill, inputs[:, 3:].long()))
    assert len(set(task.relevant.flatten().tolist())) == 6  # no bit belongs to two skills


@pytest.mark.parametrize(("skills", "alpha"), [(1, 0.6), (5, 0.6), (40, 0.3), (7, -1.0)])
def test_frequencies_add_up_to_one_and_fall_as_they_should(skills, alpha):
    found = frequencies(skills, alpha)
    assert found.sum() == pytest.approx(1, abs=1e-15)
    for i in range(skills):
        assert found[i] / found[0] == pytest.approx((i + 1) ** -(alpha + 1), rel=1e-12)


def test_frequencies_of_the_paper():
    # A·i^-1.6 of five skills, 2404.17563, §2 with its α.
    assert frequencies(5, 0.6) == pytest.approx([0.593, 0.196, 0.102, 0.0645, 0.0451], abs=6e-4)


def test_the_curve_solves_its_differential_equation():
    # dR/dT = 2η P B² R (S − R), 2404.17563 after Eq. 11, so that with r = R/S: dr/dT = rate·P·r·(1 − r).
    curve, share = Curve(0.003, 0.02), 0.2
    at = np.linspace(0, 3000, 31)
    slope = (curve.strength(at + 1e-3, share) - curve.strength(at - 1e-3, share)) / 2e-3
    r = curve.strength(at, share)
    assert slope == pytest.approx(curve.rate * share * r * (1 - r), rel=1e-5, abs=1e-12)
    assert curve.strength(0, share) == pytest.approx(0.003, rel=1e-12)
    assert curve.strength(1e7, share) == pytest.approx(1, rel=1e-12)
    half = curve.arrival(share)
    assert curve.strength(half, share) == pytest.approx(0.5, rel=1e-12)
    assert half == pytest.approx(math.log(1 / 0.003 - 1) / (0.02 * share), rel=1e-12)


def test_arrivals_of_the_paper():
    """Its Figure 1a is drawn with η = 0.02, S = 5, weights of 0.01: a rate of 4ηS/22 (its loss is not halved), and
    S/R(0) = 3.6·S/0.01²; half of the first skill comes after about 1,120 steps then, of the fifth after 14,700."""
    curve, shares = Curve(0.01**2 / (3.6 * 5), 4 * 0.02 * 5 / 22), frequencies(5, 0.6)
    assert curve.arrival(shares[0]) == pytest.approx(1120, rel=0.01)
    assert curve.arrival(shares[4]) == pytest.approx(14_700, rel=0.01)
    for k in range(5):  # Equation 40: k^(α+1), at any strength
        for strength in (0.05, 0.5):
            ratio = curve.arrival(shares[k], strength) / curve.arrival(shares[0], strength)
            assert ratio == pytest.approx((k + 1) ** 1.6, rel=1e-12)


def test_the_fit_finds_the_curve_that_made_the_strengths():
    curve = Curve(0.001, 0.015)
    at = np.unique(np.geomspace(1, 2000, 60).round())
    found = fitted(at, curve.strength(at, 1.0))
    assert (found.start, found.rate) == (pytest.approx(0.001, rel=1e-3), pytest.approx(0.015, rel=1e-3))
    with pytest.raises(ValueError, match="does not grow"):
        fitted(at, np.full(len(at), 0.01))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"skill_bits": 40, "skills": 1}, "a skill is the parity of 40 bits, and there are 32"),
        ({"skills": 11}, "need 33 bits; there are 32"),
        ({"width": 0}, "greater than or equal to 1"),
        ({"skill": 6}, "skill is 6, and there are 5"),
        ({"optimizer": "adma"}, "adam"),
        ({"over": "width", "sizes": [0, 4]}, "sizes of 1 or more"),
        ({"over": "data"}, "two or more sizes"),
    ],
)
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        Params(**given)
