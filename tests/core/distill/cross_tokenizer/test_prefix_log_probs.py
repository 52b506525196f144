"""A teacher asked in few batches says what it says asked one by one."""

import torch

from lab.core.distill.cross_tokenizer.figure import drawn
from lab.core.distill.cross_tokenizer.prefix_log_probs import answers, encoder
from lab.core.distill.cross_tokenizer.tokenizers import ours, written
from lab.core.distill.language import view
from lab.core.distill.text import Source
from lab.core.lm.model import Config, Transformer

SOURCE = Source(2, 40, 60, 24)


def test_answers_are_those_of_plain_forward_passes():
    torch.manual_seed(0)
    model = Transformer(Config(SOURCE.view.size, 24, 16, 2, 2, 2, 16)).eval()
    side, rows = ours(SOURCE.view), SOURCE.documents(5, 1)[:, :11]
    encode = encoder(side)
    texts = written(SOURCE.view, rows)
    beginnings = list(
        dict.fromkeys(tuple(encode(text[:end].encode())) for text in texts for end in range(len(text)))
    )
    found, ran = answers(model, side, rows, beginnings)
    with torch.no_grad():
        for beginning, each in zip(beginnings, found, strict=True):
            alone = model(torch.tensor([[side.start, *beginning]]))[0, -1].log_softmax(-1)
            torch.testing.assert_close(each, alone, atol=2e-5, rtol=0)
    assert ran < sum(map(len, beginnings)) / 2


def test_words_are_encoded_as_the_whole_text_is():
    side = ours(SOURCE.view)
    encode = encoder(side)
    for text in written(SOURCE.view, SOURCE.documents(5, 1)):
        for end in range(len(text) + 1):
            assert list(encode(text[:end].encode())) == SOURCE.view.encode(text[:end])


def test_the_drawing_has_both_tokens_and_their_common_ends():
    letters, pieces = ours(view(SOURCE.language, "char")), ours(SOURCE.view)
    text = written(SOURCE.view, SOURCE.documents(1, 1))[0]
    shown = drawn(letters, pieces, text, 30)
    assert text.startswith(shown.text) and shown.text.endswith(" ") and len(shown.text) <= 30
    assert shown.below.ends == tuple(range(1, len(shown.text) + 1))
    # Every character is a student's token, so that spans end where the teacher's tokens do.
    assert shown.spans == shown.above.ends
