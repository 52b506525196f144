"""Batched log-probabilities after prefixes are those of one forward pass for each; tokenizers; the figure."""

import torch

from lab.core.distill.cross_tokenizer.figure import two_tokenizations
from lab.core.distill.cross_tokenizer.prefix_log_probs import encoder, prefix_log_probs
from lab.core.distill.cross_tokenizer.tokenizers import decode_rows, of_view
from lab.core.distill.language import view
from lab.core.distill.text import Source
from lab.core.lm.model import Config, Transformer

SOURCE = Source(2, 40, 60, 24)


def test_prefix_log_probs_are_those_of_plain_forward_passes():
    torch.manual_seed(0)
    model = Transformer(Config(SOURCE.view.size, 24, 16, 2, 2, 2, 16)).eval()
    tokenizer, rows = of_view(SOURCE.view), SOURCE.documents(5, 1)[:, :11]
    encode = encoder(tokenizer)
    texts = decode_rows(SOURCE.view, rows)
    prefixes = list(
        dict.fromkeys(tuple(encode(text[:end].encode())) for text in texts for end in range(len(text)))
    )
    found, ran = prefix_log_probs(model, rows, prefixes)
    with torch.no_grad():
        for prefix, each in zip(prefixes, found, strict=True):
            alone = model(torch.tensor([[tokenizer.start, *prefix]]))[0, -1].log_softmax(-1)
            torch.testing.assert_close(each, alone, atol=2e-5, rtol=0)
    assert ran < sum(map(len, prefixes)) / 2


def test_words_are_encoded_as_the_whole_text_is():
    tokenizer = of_view(SOURCE.view)
    encode = encoder(tokenizer)
    for text in decode_rows(SOURCE.view, SOURCE.documents(5, 1)):
        for end in range(len(text) + 1):
            assert list(encode(text[:end].encode())) == SOURCE.view.encode(text[:end])


def test_the_figure_has_both_tokens_and_their_common_ends():
    letters, pieces = of_view(view(SOURCE.language, "char")), of_view(SOURCE.view)
    text = decode_rows(SOURCE.view, SOURCE.documents(1, 1))[0]
    shown = two_tokenizations(letters, pieces, text, 30)
    assert text.startswith(shown.text) and shown.text.endswith(" ") and len(shown.text) <= 30
    assert shown.below.ends == tuple(range(1, len(shown.text) + 1))
    # Every character is a student's token, so that spans end where the teacher's tokens do.
    assert shown.spans == shown.above.ends
