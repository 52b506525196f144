"""A model whose next-token probabilities are a table."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lab.core.lm.cache import empty

EOS, PAD = 0, 9
"""PAD is no token of a table."""


class Table(torch.nn.Module):
    """Next-token probabilities of four tokens by what has been generated after a prompt of one token; float64, exact.

    A prefix is known by a number, each token by a digit of base 5; what is no token of the table has none.
    """

    def __init__(self, rows, context=12):
        super().__init__()
        self.embedding = torch.nn.Embedding(PAD + 1, 1, dtype=torch.float64, device="cpu")
        self.config = SimpleNamespace(context=context)
        self.rows = rows
        longest = max(map(len, rows)) + 1
        # Behind an end, and where only padding stands, nobody looks.
        self.table = torch.zeros(5**longest, 4, dtype=torch.float64, device="cpu")
        for prefix, chances in rows.items():
            number = 0
            for token in prefix:
                number = 5 * number + token + 1
            self.table[number] = torch.tensor(np.log(np.maximum(chances, 1e-300)), device="cpu")

    def empty_cache(self, rows, length, starts=None):
        return empty((1, rows, 1, length, 1), self.embedding.weight, starts)

    def hidden(self, ids, cache=None):
        """(rows, new, 1): the number of the prefix at each place."""
        first = 0
        if cache is not None:
            first, x = cache.length, ids.double()[:, None, :, None]
            ids = cache.extended(0, x, x)[0][:, 0, :, 0].long()
            cache.length = ids.shape[1]
        number, found = torch.zeros(len(ids), dtype=torch.int64, device="cpu"), []
        for tokens in ids.T:
            number = torch.where(tokens < 4, (5 * number + tokens + 1) % len(self.table), number)
            found.append(number)
        return torch.stack(found, 1)[:, first:, None]

    def logits(self, hidden):
        return self.table[hidden.squeeze(-1)]


def prefixes(tokens, longest):
    """All prefixes without an end, up to a length."""
    found, level = [()], [()]
    for _ in range(longest):
        level = [(*prefix, token) for prefix in level for token in range(1, tokens)]
        found += level
    return found


@pytest.fixture
def table():
    return Table


@pytest.fixture
def random_table():
    """Four tokens, the first of which ends; the model's answers have at most `longest` of them."""

    def make(longest, seed=0):
        random = np.random.default_rng(seed)
        return Table({prefix: random.dirichlet([0.7] * 4) for prefix in prefixes(4, longest)})

    return make


@pytest.fixture
def by_hand():
    """Every completion of a table by brute force, (tokens) to probability."""

    def enumerated(table, longest):
        found, level = {}, {(): 1.0}
        for length in range(1, longest + 1):
            children = {
                (*prefix, token): p * chance
                for prefix, p in level.items()
                for token, chance in enumerate(table.rows[prefix])
            }
            level = {}
            for tokens, p in children.items():
                (found if tokens[-1] == EOS or length == longest else level)[tokens] = p
        return found

    return enumerated
