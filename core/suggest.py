"""A wrong name, and the known name that is nearest to it. A leaf."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """` Did you mean X?`, empty where no known name is as similar as `cutoff`, from 0 to 1, by `difflib`."""
    from difflib import get_close_matches

    close = get_close_matches(word, sorted(set(known)), cutoff=cutoff)
    if not close:
        return ""
    anagrams = [name for name in close if sorted(name) == sorted(word)]  # gpro is grpo rather than gspo
    return f" Did you mean {(anagrams or close)[0]}?"


def nearest(word: str, known: Iterable[str]) -> str:
    """` Did you mean X?`, or what there is where nothing is near (at most eight names)."""
    names = sorted(set(known))
    if (hint := did_you_mean(word, names)) or not names:
        return hint
    more = f", and {len(names) - 8} more" if len(names) > 8 else ""
    return f" There is: {', '.join(names[:8])}{more}"
