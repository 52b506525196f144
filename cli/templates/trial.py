"""What NAME measures: one variant at one point."""

import torch

from lab.core.measure.correctness import compare
from lab.core.trial import Case, Context, Refused
from lab.core.trial import Params as Base


class Params(Base):
    """Everything that the YAML file may set."""

    implementation: str = ""  # a variant that leaves it unset is called by its own name
    rows: int = 64
    columns: int = 1000
    dtype: str = "float32"


def by_hand(x: torch.Tensor) -> torch.Tensor:
    """(rows, columns) → (rows,)"""
    return (x * x).sum(-1).sqrt()


def by_torch(x: torch.Tensor) -> torch.Tensor:
    """(rows, columns) → (rows,)"""
    return torch.linalg.vector_norm(x, dim=-1)


FUNCTIONS = {"by-hand": by_hand, "torch": by_torch}


def case(params: Params, context: Context) -> Case:
    name = params.implementation or context.variant
    if ":" in name:  # lab run NAME --add mine=./mine.py:norm
        function = context.load(name)
    elif name in FUNCTIONS:
        function = FUNCTIONS[name]
    else:
        raise Refused(f"no implementation {name}; there is {', '.join(FUNCTIONS)}")

    generator = torch.Generator().manual_seed(context.seed)
    x = torch.randn(params.rows, params.columns, generator=generator).to(getattr(torch, params.dtype))

    def check() -> dict[str, float]:
        # Not slower or faster but wrong: a result further from float64 than the standard form's rounding explains.
        case = f"{params.rows} rows of {params.columns} normal numbers, {params.dtype}"
        return compare(case, result=function(x), standard=by_hand(x), reference=by_hand(x.double()))

    return Case(
        call=lambda: function(x),
        check=check,
        work={"bytes": x.numel() * x.itemsize},
    )
