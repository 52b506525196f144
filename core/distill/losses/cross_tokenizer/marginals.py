"""A token-level teacher's distribution of the next character: exact, and the most that any loss here can transfer.

    q̂(c | x) = P(x·c) / P(x),   P(x) = Σ P(tokens) over sequences that cover x, with their last token only

Phan et al., "Exact byte-level probabilities from tokenized language models" (arXiv:2410.09303). A teacher gives its
probability to the tokens that its tokenizer makes of a text, its canonical ones. For byte-pair encoding, unigram and
longest-match tokenizers what such a sequence begins with is canonical itself; so of a sequence for x all tokens but the
last are `encode(x[:k])` for some k, and the sum has one term for each k:

    P(x) = Σ over k < |x| of P(encode(x[:k])) · Σ p(t | encode(x[:k])) over tokens t that begin with x[k:]

The inner sum is a node of the tree of tokens (`trie`). k reaches back no further than the longest token, and where
tokens never cross words, no further than the word.

Two forms. `exact_marginal` evaluates the teacher at every k, also where the text's own tokens do not end, which takes
more forward passes. `marginal` has the teacher's outputs on the text's own tokens only, as every loss here has, and
leaves out the other k. It is exact where all ways to write a prefix agree with the text's own tokens up to the last
one, as where each word is a token; not where "ab" may be the beginning of the token "abc" or the tokens "a", "bd":
inside "abc" it misses the second. Its result sums to 1 all the same.

It is exact for a teacher that gives non-canonical token sequences no probability. A trained one gives them some; both
forms leave that part out, and scale the rest to sum to 1. Tokenizers that look ahead (GPT-2's, at the last of several
spaces) break the rule about beginnings, and `exact_marginal` refuses them where it meets it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .alignment import Alignment
from .offsets import Tokens
from .spans import gather_tokens, over_tokens
from .tree import Trie
from .units import masked_teacher

Encode = Callable[[bytes], Iterable[int] | None]
Teacher = Callable[[list[tuple[int, ...]]], Tensor]


def marginal(teacher_logits: Tensor, alignment: Alignment, trie: Trie) -> Tensor:
    """log q̂ of each of the student's tokens at each character, from the teacher's outputs on its own tokens.

    Targets for `soft_targets`, or for any loss of one vocabulary.

    Args:
        teacher_logits: (batch, teacher's tokens, V_t).
        alignment: of the batch; the student's tokens are characters.
        trie: of both vocabularies.
    Returns: (batch, student's tokens, V_s) in float64; −∞ for what no token goes on with; 0 in padding. Constant.
    Raises ValueError: shapes that do not match, NaN in the teacher, a special token among the student's, or a
    character that the teacher cannot go on to.
    """
    side, ids = alignment.teacher, alignment.teacher.ids
    logp = masked_teacher(over_tokens(teacher_logits, side, "teacher_logits"), None).double().log_softmax(-1)
    length = trie.length.to(ids.device)[ids].masked_fill(~side.mask, 0)
    begin = length.cumsum(1) - length
    # Special tokens write no bytes: the prediction of one is not that of the character at its position.
    before = F.pad(gather_tokens(logp, side).masked_fill(length == 0, 0), (1, 0)).cumsum(1)[:, :-1]
    width = alignment.student.ids.shape[1]
    at = begin.masked_fill(length == 0, width)
    number = torch.arange(ids.shape[1], device=ids.device).expand_as(at)
    context = at.new_full((len(at), width + 1), -1).scatter(1, at, number)[:, :width]
    path = before.new_full((len(at), width + 1), -math.inf).scatter(1, at, before)[:, :width]
    return _marginal(logp, context, path, alignment.student.ids, alignment.student.mask, trie)


def exact_marginal(teacher: Teacher, encode: Encode, texts: Sequence[Tokens], trie: Trie) -> Tensor:
    """log q̂ of each of the student's tokens at each character, from a teacher that is a function.

    Args:
        teacher: prefixes, as tuples of ids without BOS, to (prefixes, V_t) log-probs of the next token. Called once,
            with each prefix once. For a prefix that no text begins with −∞ is enough.
        encode: the teacher's tokenizer, without special tokens: bytes to ids; None for bytes that it cannot encode,
            such as half a word in a vocabulary of words.
        texts: the student's tokens, characters, of each text.
        trie: of both vocabularies.
    Returns: (texts, longest text, V_s) in float64; −∞ for what no token goes on with; 0 behind the end of a text.
    Constant.
    Raises ValueError: a tokenizer to which the rule about beginnings does not apply, NaN in the teacher, a
    special token among the student's, or a character that the teacher cannot go on to.
    """
    known: dict[tuple[int, ...], int] = {}
    contexts: list[list[int]] = []
    # A text, a character, where the last token before it begins, that token.
    steps: list[tuple[int, int, int, int]] = []
    length = trie.length.tolist()
    for row, text in enumerate(texts):
        paths: dict[int, tuple[int, ...]] = {}
        contexts.append([-1] * len(text.ids))
        for k, end in enumerate((0, *text.ends[:-1])):
            made = encode(text.text[:end]) if end else ()
            if made is None:
                continue
            path = paths[k] = tuple(made)
            contexts[row][k] = known.setdefault(path, len(known))
            if path:
                steps.append((row, k, k - length[path[-1]], path[-1]))
                if paths.get(steps[-1][2]) != path[:-1]:
                    raise ValueError(
                        f"text {row}: the tokens of {text.text[:end]!r} begin with {list(path[:-1])}, which is not "
                        "what their bytes alone become: the tokenizer looks ahead, and prefixes cannot be summed over"
                    )
    logp = masked_teacher(teacher(list(known)).double().unsqueeze(0), None, "log-probs of the teacher")
    if logp.shape[1:] != (len(known), len(length)):
        raise ValueError(
            f"the teacher gave {tuple(logp.shape[1:])} log-probs; ({len(known)}, {len(length)}) are needed"
        )
    context_of_step = [contexts[row][before] for row, _, before, _ in steps]
    last_logp = logp[0, context_of_step, [last for *_, last in steps]].tolist()
    to_path = [[-math.inf if k else 0.0 for k in range(len(row))] for row in contexts]
    for (row, k, before, _), each in zip(steps, last_logp, strict=True):
        to_path[row][k] = to_path[row][before] + each
    lengths = torch.tensor([len(text.ids) for text in texts], device="cpu").unsqueeze(1)
    ids = _padded([text.ids for text in texts], torch.int64).to(logp.device)
    mask = torch.arange(ids.shape[1], device=logp.device) < lengths.to(logp.device)
    context = _padded(contexts, torch.int64).to(logp.device)
    return _marginal(logp, context, _padded(to_path, torch.float64).to(logp.device), ids, mask, trie)


def _padded(rows: Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
    return pad_sequence([torch.tensor(row, dtype=dtype, device="cpu") for row in rows], batch_first=True)


def _marginal(
    logp: Tensor, context: Tensor, path: Tensor, characters: Tensor, mask: Tensor, trie: Trie
) -> Tensor:
    """The sum over k, for all characters c and all places of a batch at once; a loop over how far k lies back.

    Args:
        logp: (batch, contexts, V_t), or (1, contexts, V_t) for contexts that the batch shares.
        context: (batch, characters), the number of the context before a character, −1 where there is none.
        path: (batch, characters), log P(tokens of that context), −∞ where there is none.
        characters: (batch, characters) of the text, the student's ids.
        mask: (batch, characters), true where there is one.
    """
    trie = trie.to(logp.device)
    special = mask & ~trie.character[characters]
    if special.any():
        row, at = special.nonzero()[0].tolist()
        raise ValueError(
            f"text {row}: the student's token {at} is special; leave it out, or give it bytes on both sides"
        )
    mass = trie.mass(logp.exp())
    batches = torch.arange(len(context), device=logp.device).unsqueeze(1) * (len(logp) > 1)
    node = torch.zeros_like(characters)  # where one is in the tree, having read from k on
    found = logp.new_full((*characters.shape, trie.child.shape[1]), -math.inf)
    for back in range(int(trie.depth.max())):
        if back:
            node = trie.child[node, characters].roll(1, 1)
            node[:, :back] = trie.dead
            context, path = context.roll(1, 1), path.roll(1, 1)
        mass_behind = mass[batches.unsqueeze(2), context.clamp(min=0).unsqueeze(2), trie.child[node]]
        found = torch.logaddexp(found, path.unsqueeze(2) + mass_behind.log())
    total = found.logsumexp(-1, keepdim=True)
    nothing = mask & (total.squeeze(-1) == -math.inf)
    if nothing.any():
        row, at = nothing.nonzero()[0].tolist()
        raise ValueError(f"text {row}: the teacher gives what stands before character {at} no probability")
    return (found - total).masked_fill(~mask.unsqueeze(-1), 0)
