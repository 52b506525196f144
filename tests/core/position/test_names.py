"""What is said of encodings without torch is true of them."""

import re

import pytest
import torch

from lab.core.position import ENCODINGS, Sizes, encoding, names
from lab.core.position.own_places import coupled

SIZES = Sizes(d_model=32, heads=4, context=40)


def test_every_encoding_has_a_name_and_its_kind():
    assert set(names.NAMES) == set(ENCODINGS) and len(names.NAMES) == len(ENCODINGS)
    for name in names.NAMES:
        found = coupled(SIZES, separators=[1]) if name == "coupled" else encoding(name, SIZES)
        assert (found.axes == 2) == (name in names.GRID)
        assert (found.places is not None) == (name in names.OWN_PLACES)
        assert (found.rotation is not None) == (name in (*names.ROTARY, *names.GRID))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rop", "no position encoding rop. Did you mean rope? There are: none, integer"),
        ("coupled", "coupled: a token's position depends on the whole text"),
        ("mixed", "mixed: it tells places on a grid"),
    ],
)
def test_a_name_that_cannot_be(name, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        names.check_generating(name)


def test_heads_of_odd_width_turn_nothing():
    names.check_heads("alibi", 12, 4)
    with pytest.raises(ValueError, match="d_model is 12; it must be an even multiple of its 4 heads"):
        names.check_heads("rope", 12, 4)
    with pytest.raises(ValueError, match="width is 13; it must be a multiple of its 4 heads"):
        names.check_heads("alibi", 13, 4, "width")
    with pytest.raises(ValueError, match="pairs are turned"):
        encoding("rope", Sizes(12, 4, 40))
    assert torch.is_complex(encoding("rope", SIZES).rotation(torch.arange(3)))
