"""Which vocabularies a student and its teacher may have."""

from types import SimpleNamespace

import pytest

from lab.core.distill.on_policy import check_same_tokens
from lab.core.lm.vocabulary import vocabulary


def theirs(*tokens, ends=(1,)):
    """As a tokenizer of transformers is seen."""
    from lab.core.lm import hugging_face

    tokenizer = SimpleNamespace(get_vocab=lambda: {token: i for i, token in enumerate(tokens)})
    return hugging_face.Vocabulary(tokenizer, (), ends)


def test_the_same_tokens():
    check_same_tokens(vocabulary("01+"), vocabulary("01+"))
    check_same_tokens(theirs("a", "b", "<end>"), theirs("a", "b", "<end>"))
    check_same_tokens(vocabulary("01+"), theirs(*vocabulary("01+").tokens, ends=(1,)))


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (vocabulary("01+"), vocabulary("01"), "a vocabulary of 9 tokens, the teacher one of 8"),
        (vocabulary("01+"), vocabulary("0+1"), "token 7 is '1' to the student and '\\+' to the teacher"),
        (theirs("a", "b"), theirs("a", "c"), "token 1 is 'b' to the student and 'c' to the teacher"),
        (theirs("a", "b"), theirs("a", "b", "c"), "2 tokens, the teacher one of 3"),
        (theirs("a", "b", "c"), theirs("a", "b", "c", ends=(2, 0)), "answer with b, the teacher with c or a"),
    ],
)
def test_others_are_refused(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        check_same_tokens(student, teacher)
