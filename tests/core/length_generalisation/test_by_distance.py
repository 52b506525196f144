"""Attention by distance is what the maps hold, read off pair by pair."""

import pytest
import torch

from lab.core.length_generalisation import by_distance
from lab.core.length_generalisation.tasks import task
from lab.core.lm.attention_maps import attention_maps
from lab.core.lm.model import Config, Transformer

np = pytest.importorskip("numpy")


def test_it_is_the_mean_over_pairs_of_a_query_and_a_key():
    torch.manual_seed(0)
    copying = task("copy", 5, 4)
    texts = copying.draw(np.random.default_rng(0), 4, 3)
    model = Transformer(Config(copying.vocabulary, 12, d_model=16, heads=2, kv_heads=2, d_ff=16))
    found = by_distance.attention_by_distance(model, texts)
    ids = torch.from_numpy(texts.ids[:, :-1])
    maps = torch.stack(attention_maps(model, ids)).double()  # (layers, texts, heads, queries, keys)
    assert len(found) == ids.shape[1]
    for distance, mean in enumerate(found):
        queries = [q for q in range(texts.start - 1, ids.shape[1]) if q >= distance]
        pairs = [maps[..., q, q - distance].mean() for q in queries]
        assert mean == pytest.approx(float(sum(pairs) / len(pairs)))
