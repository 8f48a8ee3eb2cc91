"""PURE. Which texts a lexical retriever confuses: of agents with many tools, it chooses those that a model sees.

The measure is BM25 (Robertson and Zaragoza, 2009, k1 = 1.2, b = 0.75): how well one text answers the words of the other
one, compared to how well that one answers them itself; of the two directions the smaller. Two equal texts have 1.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["ALIKE", "nearest"]

# Two texts from which on they count as confused. docs/errors/ConfusableTools.md says what was measured.
ALIKE = 0.9
_K1, _B = 1.2, 0.75
# Of each text: the words that count; those by which it finds others, which are its rarest ones; in how many texts such
# a word may be; and with how many of these, which share the most such words, it is compared. So the cost is linear in
# the number of texts.
_MAX_WORDS, _MAX_KEYS, _MAX_TEXTS, _MAX_COMPARED = 512, 16, 64, 64
# A run of small letters with at most one capital before it, a run of capitals, a number, or another letter, such as a
# Chinese character.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_A-Za-z]")


def nearest(texts: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    """Each text that is confused with an earlier one: its key, the key of the nearest earlier one, and the measure."""
    documents = {key: Counter(islice(_words(text), _MAX_WORDS)) for key, text in texts.items()}
    places: defaultdict[str, list[str]] = defaultdict(list)
    for key, words in documents.items():
        for word in words:
            places[word].append(key)
    total = len(documents)
    rarity = {word: math.log(1 + (total - len(keys) + 0.5) / (len(keys) + 0.5)) for word, keys in places.items()}
    usual = sum(map(Counter.total, documents.values())) / max(1, total)
    if not usual:
        return

    def score(query: Counter[str], document: Counter[str]) -> float:
        length = _K1 * (1 - _B + _B * document.total() / usual)
        found = ((rarity[word], document[word]) for word in query if word in document)
        return math.fsum(rare * times * (_K1 + 1) / (times + length) for rare, times in found)

    own = {key: score(words, words) for key, words in documents.items()}
    for key, known in _candidates(documents, places):
        best, measure = "", 0.0
        words = documents[key]
        for other in known:
            if own[key] and own[other]:
                there = score(words, documents[other]) / own[key]
                back = score(documents[other], words) / own[other]
                if min(there, back) > measure:
                    best, measure = other, min(there, back)
        if measure >= ALIKE:
            yield key, best, measure


def _candidates(
    documents: Mapping[str, Counter[str]], places: Mapping[str, list[str]]
) -> Iterator[tuple[str, Iterable[str]]]:
    """Each key, and the earlier ones that share a rare word, or all words."""
    earlier: set[str] = set()
    same: dict[frozenset[tuple[str, int]], str] = {}
    for key, words in documents.items():
        twin = same.setdefault(frozenset(words.items()), key)
        found = dict.fromkeys([] if twin == key else [twin])
        rare = sorted((word for word in words if len(places[word]) <= _MAX_TEXTS), key=lambda word: len(places[word]))
        shared = Counter(other for word in rare[:_MAX_KEYS] for other in places[word] if other in earlier)
        found |= dict.fromkeys(other for other, _ in shared.most_common(_MAX_COMPARED))
        earlier.add(key)
        yield key, found


def _words(text: str) -> Iterator[str]:
    """The words of a text in small letters, without the ending of a plural."""
    for match in _WORD.finditer(text):
        word = match[0].lower()
        yield word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
