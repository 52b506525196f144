"""The names of encodings, and what can be said of them without torch: experiments are checked before it is loaded."""

from __future__ import annotations

from ..suggest import did_you_mean

ROTARY = ("rope", "partial-rope", "rope-pi", "rope-ntk", "rope-yarn", "randomised")
GENERATING = (
    "none", "integer", "binary", "sinusoidal", "learned", "t5", "alibi",
    "rope", "partial-rope", "rope-pi", "rope-ntk", "rope-yarn",
)  # fmt: skip
OWN_PLACES = ("randomised", "random-start", "coupled")
GRID = ("axial", "mixed")
NAMES = (*GENERATING, *OWN_PLACES, *GRID)


def check_name(name: str, names: tuple[str, ...] = NAMES) -> str:
    """The name. Raises ValueError: there is no such encoding, or not among these names; the message gives the nearest."""
    if name not in NAMES:
        raise ValueError(
            f"no position encoding {name}.{did_you_mean(name, names)} There are: {', '.join(names)}"
        )
    if name not in names:
        raise ValueError(f"{name}: {_why_not(name)}. There are: {', '.join(names)}")
    return name


def check_generating(name: str) -> str:
    """The name. Raises ValueError: there is no such encoding, or a model with it cannot generate token by token."""
    return check_name(name, GENERATING)


def check_heads(name: str, d_model: int, heads: int, width: str = "d_model") -> None:
    """Raises ValueError: the heads do not divide the width, or have no pairs to turn. `width`: what it is called."""
    if d_model % heads or (name in ROTARY and d_model // heads % 2):
        even = "an even" if name in ROTARY else "a"
        raise ValueError(f"{width} is {d_model}; it must be {even} multiple of its {heads} heads")


def _why_not(name: str) -> str:
    if name in GRID:
        return "it tells places on a grid, and a text has one axis"
    return "a token's position depends on the whole text, so none can be generated"
