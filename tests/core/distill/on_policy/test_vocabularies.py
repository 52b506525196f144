"""Which vocabularies a student and its teacher may have, ours and those of transformers."""

import pytest

from lab.core.distill.on_policy import check_same_tokens
from lab.core.lm.vocabulary import vocabulary


@pytest.fixture
def theirs():
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models

    from lab.core.lm import hugging_face

    def make(*tokens, end, added=()):
        made = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=tokens[0]))
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=made)
        tokenizer.add_tokens(list(added))
        return hugging_face.Vocabulary(tokenizer, (), tuple(end))

    return make


def test_the_same_tokens(theirs):
    ours = vocabulary("01+")
    check_same_tokens(ours, vocabulary("01+"))
    check_same_tokens(theirs("a", "b", end=[1]), theirs("a", "b", end=[0, 1]))
    check_same_tokens(theirs("a", "b", end=[1], added=["c"]), theirs("a", "b", "c", end=[1]))
    check_same_tokens(ours, theirs(*ours.tokens, end=[ours.eos]))
    check_same_tokens(theirs(*ours.tokens, end=[ours.eos]), ours)


def refusal(student, teacher):
    with pytest.raises(ValueError) as raised:
        check_same_tokens(student, teacher)
    return str(raised.value)


def test_others_are_refused(theirs):
    ours = vocabulary("01+")
    assert "vocabulary of 9 tokens, the teacher one of 8" in refusal(ours, vocabulary("01"))
    assert "token 7 is '1' to the student and '+' to the teacher" in refusal(ours, vocabulary("0+1"))
    a_b, a_c = (theirs("a", each, end=[1]) for each in "bc")
    assert "token 1 is 'b' to the student and 'c' to the teacher" in refusal(a_b, a_c)
    assert "2 tokens, the teacher one of 3" in refusal(a_b, theirs("a", "b", end=[1], added=["c"]))
    assert "vocabulary of 9 tokens, the teacher one of 2" in refusal(ours, a_b)


def test_an_end_that_the_teacher_does_not_know(theirs):
    student, teacher = theirs("a", "b", "c", end=[1]), theirs("a", "b", "c", end=[2, 0])
    assert refusal(student, teacher) == "the student ends an answer with b, the teacher with c or a"
