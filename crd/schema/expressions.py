"""PURE. Regular expressions (ECMA-262) as far as their shape matters: a small parser into a tree.

Values are matched by a linear engine here, but schemas travel: clients that check arguments too may backtrack. Called
by `crd.schema.ambiguity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Choice", "Letter", "Node", "Repeat", "Sequence", "UnreadableError", "parse"]

LAST = 0x10FFFF
Ranges: TypeAlias = tuple[tuple[int, int], ...]
ANY: Ranges = ((0, LAST),)
_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 13), (32, 32), (160, 160), (0x2000, 0x200A), (0x2028, 0x2029), (0xFEFF, 0xFEFF))
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
MAX_LENGTH = 1024


class UnreadableError(Exception):
    """This is written in a way that is not looked into."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One character out of some ranges."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Sequence:
    """One part after the other; the empty expression without any."""

    parts: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some expressions."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """An expression again and again; ``most`` None: without an end."""

    inner: Node
    least: int
    most: int | None


Node: TypeAlias = "Letter | Sequence | Choice | Repeat"


def parse(text: str) -> Node:
    """The tree of an expression; assertions count as empty. Raises UnreadableError."""
    if len(text) > MAX_LENGTH:
        raise UnreadableError(f"it has {len(text)} characters")
    reader = _Reader(text)
    try:
        node = reader.choice()
    except RecursionError as error:
        raise UnreadableError("it nests too deep") from error
    if reader.at < len(text):
        raise UnreadableError(f'"{text[reader.at]}" closes nothing')
    return node


def inverted(ranges: Ranges) -> Ranges:
    """All characters but these."""
    found, begin = [], 0
    for low, high in sorted(ranges):
        if low > begin:
            found.append((begin, low - 1))
        begin = max(begin, high + 1)
    return (*found, (begin, LAST)) if begin <= LAST else tuple(found)


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self.at = 0

    def choice(self) -> Node:
        options = [self._sequence()]
        while self._take("|"):
            options.append(self._sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self._text) and self._text[self.at] not in "|)":
            atom = self._atom()
            parts.append(self._quantified(atom))
        return Sequence(tuple(parts))

    def _atom(self) -> Node:
        character = self._next()
        match character:
            case "^" | "$":
                return Sequence()
            case ".":
                return Letter(inverted(((10, 10), (13, 13), (0x2028, 0x2029))))
            case "(":
                return self._group()
            case "[":
                return Letter(self._class())
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise UnreadableError(f'"{character}" repeats nothing')
        return Letter(((ord(character), ord(character)),))

    def _group(self) -> Node:
        assertion = False
        if self._take("?"):
            assertion = self._take("=") or self._take("!") or self._take("<=") or self._take("<!")
            if not assertion and not self._take(":"):
                if not self._take("<"):
                    raise UnreadableError("a group of an unknown kind")
                while self._next() != ">":
                    pass
        inner = self.choice()
        if not self._take(")"):
            raise UnreadableError("a group is not closed")
        return Sequence() if assertion else inner

    def _quantified(self, atom: Node) -> Node:
        least, most = 1, 1
        bounds: tuple[int, int | None] | None = None
        if self._take("*"):
            bounds = (0, None)
        elif self._take("+"):
            bounds = (1, None)
        elif self._take("?"):
            bounds = (0, 1)
        elif self._text.startswith("{", self.at):
            bounds = self._bounds()
        if bounds is None or bounds == (least, most):
            return atom
        self._take("?")  # a lazy one matches the same
        return Repeat(atom, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        """``{3}``, ``{3,}``, ``{3,5}``; a brace that is none of these is a letter."""
        end = self._text.find("}", self.at)
        least, comma, most = self._text[self.at + 1 : max(end, self.at + 1)].partition(",")
        if end < 0 or not least.isdigit() or not (most.isdigit() or not most):
            return None
        self.at = end + 1
        return int(least), (int(most) if most else None) if comma else int(least)

    def _class(self) -> Ranges:
        negated = self._take("^")
        found: list[tuple[int, int]] = []
        while not self._take("]"):
            low = self._member()
            between = self._text.startswith("-", self.at) and not self._text.startswith("-]", self.at)
            if isinstance(low, int) and between:
                self.at += 1
                high = self._member()
                found.append((low, high if isinstance(high, int) else low))
            else:
                found += [(low, low)] if isinstance(low, int) else low
        return inverted(tuple(found)) if negated else tuple(found)

    def _member(self) -> int | Ranges:
        character = self._next()
        if character != "\\":
            return ord(character)
        if self._take("b"):
            return 8
        node = self._escape()
        if not isinstance(node, Letter):
            raise UnreadableError("an escape that is no character")
        (low, high), *more = node.ranges
        return low if low == high and not more else node.ranges

    def _escape(self) -> Node:
        character = self._next()
        classes = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
        if character.lower() in classes:
            ranges = classes[character.lower()]
            return Letter(ranges if character.islower() else inverted(ranges))
        match character:
            case "b" | "B":
                return Sequence()
            case "p" | "P":
                self._braced()
                return Letter(ANY)
            case "u":
                digits = self._braced() if self._text.startswith("{", self.at) else self._several(4)
                return _point(digits)
            case "x":
                return _point(self._several(2))
            case "k" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9":
                raise UnreadableError("a reference to what matched before")
        point = _CONTROLS.get(character, ord(character))
        return Letter(((point, point),))

    def _braced(self) -> str:
        end = self._text.find("}", self.at)
        if not self._take("{") or end < 0:
            raise UnreadableError("braces are missing")
        found, self.at = self._text[self.at : end], end + 1
        return found

    def _several(self, count: int) -> str:
        found, self.at = self._text[self.at : self.at + count], self.at + count
        if len(found) < count:
            raise UnreadableError("it ends in the middle")
        return found

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _next(self) -> str:
        if self.at >= len(self._text):
            raise UnreadableError("it ends in the middle")
        self.at += 1
        return self._text[self.at - 1]


def _point(digits: str) -> Letter:
    try:
        number = int(digits, 16)
    except ValueError as error:
        raise UnreadableError(f'"{digits}" is no hexadecimal number') from error
    return Letter(((number, number),))
