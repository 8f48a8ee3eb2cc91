r"""PURE. Regular expressions in the dialects of clients: ECMA-262 with the `u` flag, and Python's `re`.

JSON Schema refers to ECMA-262, and Ajv compiles every pattern with the `u` flag, under which unknown escapes, lone
brackets and Python's groups are syntax errors. One pass over the pattern decides both questions, so that no engine has
to be started: it reads the grammar `Pattern[+UnicodeMode, +NamedCaptureGroups]` of ECMA-262 (2024, section 22.2.1) and
notes the constructs that `re` of Python 3.10 to 3.14 lacks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from crd.clients.unicode_properties import BINARY, GENERAL_CATEGORIES, SCRIPTS

__all__ = ["Dialects", "read"]

_SYNTAX = frozenset("^$\\.*+?()[]{}|/")
_COUNT = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
_PROPERTY = re.compile(r"\{([A-Za-z0-9_]+)(?:=([A-Za-z0-9_]+))?\}")
_CODE_POINT = re.compile(r"\{0*([0-9A-Fa-f]{1,6})\}")
_NAME = re.compile(r"<([^>]*)>")
_SETS = frozenset("dDsSwW")
_CONTROLS = {"f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_SCRIPT_NAMES = frozenset({"Script", "sc", "Script_Extensions", "scx"})
_CATEGORY_NAMES = frozenset({"General_Category", "gc"})
# An escape that stands for a set of characters, not for one.
_SET = -1


class _SyntaxError(Exception):
    """The pattern is not one of ECMA-262."""


@dataclass(frozen=True, slots=True)
class Dialects:
    """Why a pattern does not compile in ECMA-262 with `u`, and why not in Python; empty where it does."""

    ecma: str = ""
    python: str = ""


@lru_cache(maxsize=1024)
def read(pattern: str) -> Dialects:
    """The verdicts on a pattern. Linear in its length. ``python`` is known only if ``ecma`` is empty."""
    reader = _Reader(pattern)
    try:
        reader.read()
    except _SyntaxError as error:
        return Dialects(ecma=str(error))
    return Dialects(python=reader.lacking)


class _Reader:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.lacking = ""
        self.groups = 0
        self.names: set[str] = set()
        self.numbers: list[int] = []
        self.references: list[str] = []

    def read(self) -> None:  # noqa: C901 -- one case for each kind of character
        """Read the whole pattern. Raises _SyntaxError."""
        open_groups: list[bool] = []  # whether each open group may be repeated
        repeatable = False
        while self.at < len(self.text):
            letter = self.text[self.at]
            if letter in "*+?{":
                if not repeatable:
                    raise _SyntaxError(f'"{letter}" repeats nothing; escape it as \\{letter}')
                self._count()
                repeatable = False
                continue
            self.at += 1
            match letter:
                case "(":
                    open_groups.append(self._group())
                    repeatable = False
                case ")":
                    if not open_groups:
                        raise _SyntaxError('")" closes no group; escape it as \\)')
                    repeatable = open_groups.pop()
                case "|" | "^" | "$":
                    repeatable = False
                case "]" | "}":
                    raise _SyntaxError(f'a single "{letter}" must be escaped as \\{letter}')
                case "[":
                    self._class()
                    repeatable = True
                case "\\":
                    repeatable = self._atom_escape()
                case _:
                    repeatable = True
        if open_groups:
            raise _SyntaxError('a "(" is not closed')
        if any(number > self.groups for number in self.numbers) or not self.names.issuperset(self.references):
            raise _SyntaxError("a backreference has no group")

    def _lacks(self, construct: str) -> None:
        self.lacking = self.lacking or construct

    def _count(self) -> None:
        if self.text[self.at] == "{":
            found = _COUNT.match(self.text, self.at)
            if found is None:
                raise _SyntaxError('a "{" that starts no repetition must be escaped as \\{')
            least, most = found[1].lstrip("0") or "0", found[3] and (found[3].lstrip("0") or "0")
            if most and (len(least), least) > (len(most), most):
                raise _SyntaxError(f"{found[0]} has its numbers in the wrong order")
            if max(len(least), len(most or "")) > 9:
                self._lacks(f"the repetition {found[0]}")
            self.at = found.end()
        else:
            self.at += 1
        if self.text.startswith("?", self.at):
            self.at += 1

    def _group(self) -> bool:
        """Read what follows a parenthesis; whether the group may be repeated."""
        for opening, repeatable in (("?:", True), ("?=", False), ("?!", False), ("?<=", False), ("?<!", False)):
            if self.text.startswith(opening, self.at):
                self.at += len(opening)
                if opening.startswith("?<"):
                    self._lacks("look-behind of any length")
                return repeatable
        if self.text.startswith("?", self.at):
            found = _NAME.match(self.text, self.at + 1)
            if found is None:
                shown = self.text[self.at - 1 : self.at + 3]
                raise _SyntaxError(f'"{shown}" starts no group of ECMA-262')
            name = found[1]
            if not name.replace("$", "_").isidentifier() or name in self.names:
                raise _SyntaxError(f'the group name "{name}" is invalid or used twice')
            self.names.add(name)
            self._lacks(f"the named group (?<{name}>, which is (?P<{name}> there")
            self.at = found.end()
        self.groups += 1
        return True

    def _atom_escape(self) -> bool:
        """Read what follows a backslash outside a class; whether it may be repeated."""
        letter = self.text[self.at : self.at + 1]
        if letter in ("b", "B"):
            self.at += 1
            return False
        if letter in "123456789" and letter:
            digits = re.compile(r"[0-9]+").match(self.text, self.at)
            if digits is None or len(digits[0]) > 6:
                raise _SyntaxError("a backreference has no group")
            self.numbers.append(int(digits[0]))
            self.at = digits.end()
            return True
        if letter == "k":
            found = _NAME.match(self.text, self.at + 1)
            if found is None:
                raise _SyntaxError("\\k must be followed by <name>")
            self.references.append(found[1])
            self._lacks(f"the reference \\k<{found[1]}>")
            self.at = found.end()
            return True
        self._escape()
        return True

    def _class(self) -> None:
        if self.text.startswith("^", self.at):
            self.at += 1
        if self.text.startswith("]", self.at):
            self._lacks("the empty class")
            self.at += 1
            return
        while True:
            first = self._class_atom()
            if first is None:
                return
            if not self.text.startswith("-", self.at) or self.text.startswith("-]", self.at):
                continue
            self.at += 1
            last = self._class_atom()
            if last is None:
                return
            if _SET in (first, last):
                raise _SyntaxError("a set such as \\d cannot be the end of a range; escape the hyphen as \\-")
            if first > last:
                raise _SyntaxError("a range of characters has its ends in the wrong order")

    def _class_atom(self) -> int | None:
        """The code point of the next member of a class, _SET for several, and None at the end of the class."""
        if self.at >= len(self.text):
            raise _SyntaxError('a "[" is not closed')
        letter = self.text[self.at]
        self.at += 1
        if letter == "]":
            return None
        if letter != "\\":
            return ord(letter)
        if self.text.startswith(("b", "-"), self.at):
            self.at += 1
            return 8 if self.text[self.at - 1] == "b" else ord("-")
        return self._escape(in_class=True)

    def _escape(self, *, in_class: bool = False) -> int:
        """Read an escape that stands for characters: the code point, or _SET."""
        letter = self.text[self.at : self.at + 1]
        self.at += 1
        if letter in _SYNTAX and letter:
            return ord(letter)
        if letter in _CONTROLS:
            return _CONTROLS[letter]
        if letter in _SETS:
            return _SET
        match letter:
            case "p" | "P":
                self._property()
                return _SET
            case "c":
                control = self.text[self.at : self.at + 1]
                if not (control.isascii() and control.isalpha()):
                    raise _SyntaxError("\\c must be followed by a letter")
                self._lacks(f"the escape \\c{control}")
                self.at += 1
                return ord(control) % 32
            case "0":
                if self.text[self.at : self.at + 1].isdecimal() and self.text[self.at].isascii():
                    raise _SyntaxError("\\0 must not be followed by a digit")
                return 0
            case "x":
                return self._hexadecimal(2)
            case "u":
                return self._code_point(in_class=in_class)
        raise _SyntaxError(f'"\\{letter}" is not an escape of ECMA-262; remove the backslash or write another escape')

    def _property(self) -> None:
        found = _PROPERTY.match(self.text, self.at)
        if found is None:
            raise _SyntaxError("\\p must be followed by a property such as {L}")
        name, value = found[1], found[2]
        if value is None:
            known = name in GENERAL_CATEGORIES or name in BINARY
        elif name in _CATEGORY_NAMES:
            known = value in GENERAL_CATEGORIES
        else:
            known = name in _SCRIPT_NAMES and value in SCRIPTS
        if not known:
            repair = f"; write {{Script={name}}}" if value is None and name in SCRIPTS else ""
            raise _SyntaxError(f"\\p{found[0]} is not a property of ECMA-262{repair}")
        self._lacks(f"the property \\p{found[0]}")
        self.at = found.end()

    def _hexadecimal(self, count: int) -> int:
        digits = self.text[self.at : self.at + count]
        if len(digits) < count or not all(each in "0123456789abcdefABCDEF" for each in digits):
            raise _SyntaxError(f"\\{self.text[self.at - 1]} must be followed by {count} hexadecimal digits")
        self.at += count
        return int(digits, 16)

    def _code_point(self, *, in_class: bool) -> int:
        found = _CODE_POINT.match(self.text, self.at)
        if found is not None and int(found[1], 16) <= 0x10FFFF:
            self._lacks(f"the escape \\u{found[0]}")
            self.at = found.end()
            return int(found[1], 16)
        first = self._hexadecimal(4)
        if 0xD800 <= first < 0xDC00 and self.text.startswith("\\u", self.at):
            start = self.at
            self.at += 2
            try:
                second = self._hexadecimal(4)
            except _SyntaxError:
                second = 0
            if 0xDC00 <= second < 0xE000:
                if in_class:
                    self._lacks("a pair of \\u escapes in a class")
                return 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            self.at = start
        return first
