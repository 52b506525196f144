"""Spans, merges, ULD and GOLD beside TRL's, on random tensors. Skipped where there is no TRL.

Read from and run with TRL 1.16.0 (`trl.experimental.gold`). TRL takes what a model puts out, in which what is said of
token t stands at t − 1; ours takes logits at the token that they are of. So TRL gets a prompt of one token.

Where ours differs on purpose, the test says so:

* observed: TRL reads the row behind each token (issue #5152). Given rows that were moved by one, it says what ours says.
* the shared part: TRL compares probabilities as they are, and its sum can fall below 0; ours are scaled to sum to 1.
* shared tokens only on one side: TRL leaves the rest out where a side has none; ours compares with nothing.
* TRL holds probabilities up at 1e-8.
"""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from lab.core.distill.losses.cross_tokenizer import align, align_batch, gold, merged, shared, tokens, uld
from lab.core.distill.losses.cross_tokenizer.ranks import sorted_distance

pytest.importorskip("trl")
from trl.experimental.gold.gold_trainer import ULDLoss


@dataclass
class Case:
    """A text, cut by two tokenizers."""

    student_pieces: list[bytes]
    teacher_pieces: list[bytes]
    student_ids: list[int]
    teacher_ids: list[int]

    def both_texts(self):
        return tokens(self.student_ids, self.student_pieces), tokens(self.teacher_ids, self.teacher_pieces)

    def logits(self, seed):
        """What the models put out at a prompt of one token and at all but the last of the text."""
        sizes = (
            (len(self.student_ids), len(self.student_pieces)),
            (len(self.teacher_ids), len(self.teacher_pieces)),
        )
        draw = torch.Generator().manual_seed(seed)
        return [torch.randn(1, *size, dtype=torch.float64, generator=draw) for size in sizes]

    def shared(self):
        return shared(self.student_pieces, self.teacher_pieces)

    def theirs(self, loss, student, teacher, late=False):
        """TRL's loss; with `late` each token finds its row where TRL's observed looks for it, behind the token."""
        texts = self.both_texts()
        ids = [torch.tensor([[0, *text.ids]]) for text in texts]
        labels = [torch.tensor([[-100, *text.ids]]) for text in texts]
        offsets = [torch.tensor([[(0, 0), *((0, end) for end in text.ends)]]) for text in texts]
        rows = [torch.cat([x[:, :1], x] if late else [x, x[:, :1]], 1) for x in (student, teacher)]
        return loss(*rows, *labels, *ids, *offsets)


# "abcababc" as ab c a b abc and a bc ab ab c
CUT = Case(
    [b"a", b"b", b"ab", b"c", b"abc"],
    [b"a", b"ab", b"c", b"ca", b"b", b"bc"],
    [2, 3, 0, 1, 4],
    [0, 5, 1, 1, 2],
)


def trl(case=CUT, merge="bayesian", beta=0.4, hybrid=False, extended=True):
    """TRL's loss, with a temperature of 1.3 on both sides."""
    config = SimpleNamespace(
        uld_crossentropy_weight=0.0,
        uld_distillation_weight=1.0,
        uld_student_temperature=1.3,
        uld_teacher_temperature=1.3,
        uld_skip_student_eos=False,
        uld_skip_teacher_eos=False,
        use_extended_uld=extended,
        uld_token_merge_strategy=merge,
        uld_use_hybrid_loss=hybrid,
        uld_hybrid_matched_weight=None,
        uld_hybrid_unmatched_weight=None,
        beta=beta,
    )
    vocabularies = [
        SimpleNamespace(get_vocab=lambda pieces=pieces: {piece.decode(): i for i, piece in enumerate(pieces)})
        for pieces in (case.student_pieces, case.teacher_pieces)
    ]
    return ULDLoss(config, *vocabularies)


def ours(case, student, teacher, **how):
    return gold(student, teacher, align_batch([case.both_texts()]), case.shared(), None, 1.3, **how)


def test_the_spans_are_the_same():
    student, teacher = CUT.both_texts()
    groups = ULDLoss._align_by_byte_offsets(*([(0, end) for end in text.ends] for text in (student, teacher)))
    spans = align(student, teacher)
    assert ([list(span.student) for span in spans], [list(span.teacher) for span in spans]) == groups
    assert len(spans) == 3


@pytest.mark.parametrize("merge", ["bayesian", "observed"])
def test_the_merges_are_the_same_on_the_same_rows(merge):
    logits, _ = CUT.logits(0)
    groups = [list(span.student) for span in align(*CUT.both_texts())]
    found = trl(merge=merge)._merge_probabilities_with_alignment_groups(
        logits[0].softmax(-1), groups, CUT.student_ids
    )
    torch.testing.assert_close(merged(logits, align_batch([CUT.both_texts()]).student, merge)[0].exp(), found)


def test_uld_of_merged_spans_is_the_same_and_observed_reads_one_row_late():
    """bayesian reads what was put out before each token, as ours does; observed what was put out behind it."""
    alignment = align_batch([CUT.both_texts()])
    student, teacher = CUT.logits(1)
    wanted = {}
    for merge in ("bayesian", "observed"):
        q = merged(student, alignment.student, merge, 1.3).exp()
        p = merged(teacher, alignment.teacher, merge, 1.3).exp()
        wanted[merge] = sorted_distance(p, q).mean()
    torch.testing.assert_close(CUT.theirs(trl(), student, teacher), wanted["bayesian"])
    observed = trl(merge="observed")
    assert abs(CUT.theirs(observed, student, teacher) - wanted["observed"]) > 1e-3
    torch.testing.assert_close(CUT.theirs(observed, student, teacher, late=True), wanted["observed"])


def test_positions_by_their_number_are_the_same():
    student, teacher = CUT.logits(3)
    found = CUT.theirs(trl(extended=False), student, teacher)
    torch.testing.assert_close(uld(student, teacher, temperature=1.3), found)


def test_golds_rest_is_the_same_and_its_shared_part_is_scaled():
    student, teacher = CUT.logits(5)
    loss = trl(hybrid=True)
    total = CUT.theirs(loss, student, teacher)
    rest, by_name, both = (
        ours(CUT, student, teacher, beta=0.4, weights=weights) for weights in ((0, 1), (1, 0), None)
    )
    torch.testing.assert_close(rest, loss.last_unmatched_loss)
    assert abs(by_name - loss.last_matched_loss) > 1e-4
    # The weights by size are TRL's: 4 of the teacher's 6 tokens are shared.
    torch.testing.assert_close(both, 4 / 6 * by_name + 2 / 6 * rest)
    torch.testing.assert_close(total, 4 / 6 * loss.last_matched_loss + 2 / 6 * loss.last_unmatched_loss)


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_where_all_tokens_are_shared_and_spans_are_tokens_the_shared_part_is_the_same(beta):
    """Nothing to scale then."""
    case = Case([b"a", b"b", b"c"], [b"c", b"a", b"b"], [0, 1, 2, 0], [1, 2, 0, 1])
    student, teacher = case.logits(7)
    found = case.theirs(trl(case, beta=beta, hybrid=True), student, teacher)
    torch.testing.assert_close(ours(case, student, teacher, beta=beta), found)


def test_theirs_falls_below_nothing_where_ours_does_not():
    student, teacher = CUT.logits(9)
    names = CUT.shared()
    student[..., names.student] += 3
    teacher[..., names.teacher] -= 1
    loss = trl(beta=0.0, hybrid=True)
    CUT.theirs(loss, student, teacher)
    assert loss.last_matched_loss < -0.01
    assert ours(CUT, student, teacher, beta=0, weights=(1, 0)) > 0
