"""Whether a student and its teacher mean the same by a token's id."""

from __future__ import annotations

from typing import Any

from ...lm.language_model import Words


def check_same_tokens(student: Words, teacher: Words) -> None:
    """Raise ValueError unless both vocabularies have the same tokens in the same order, and the teacher knows the student's end.

    A token that ends the student's answers and is an unlikely word to the teacher would be trained away.
    """
    if _digest(student) != _digest(teacher) or not _digest(student):
        ours, theirs = _tokens(student), _tokens(teacher)
        if len(ours) != len(theirs):
            raise ValueError(
                f"the student has a vocabulary of {len(ours)} tokens, the teacher one of {len(theirs)}; "
                "on-policy distillation needs the same tokens"
            )
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            if one != other:
                raise ValueError(
                    f"token {i} is {one!r} to the student and {other!r} to the teacher; "
                    "on-policy distillation needs the same tokens"
                )
    if student.eos not in teacher.eos_ids:
        end, ends = (
            _names(words, ids) for words, ids in ((student, [student.eos]), (teacher, teacher.eos_ids))
        )
        raise ValueError(f"the student ends an answer with {end}, the teacher with {ends}")


def _digest(words: Words) -> str:
    """Of our vocabularies; others have none."""
    return str(getattr(words, "digest", ""))


def _tokens(words: Any) -> list[str]:
    """By id; a number that no token has is an empty one."""
    if hasattr(words, "tokens"):
        return list(words.tokens)
    found = words.tokenizer.get_vocab()
    names = [""] * (max(found.values()) + 1)
    for token, i in found.items():
        names[i] = token
    return names


def _names(words: Words, ids: Any) -> str:
    tokens = _tokens(words)
    return " or ".join(tokens[i] for i in ids)
