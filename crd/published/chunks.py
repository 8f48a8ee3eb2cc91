"""PURE. The entries of a catalog as compressed chunks, so that a changed entry costs one chunk.

A section is one of the lists of a catalog, sorted by key. A chunk ends after every key whose checksum ends in five zero
bits. The ends of chunks depend only on the keys, so adding, removing or changing an entry leaves the other chunks
unchanged, and equal sections have equal chunks.
"""

from __future__ import annotations

import hashlib
import zlib
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

__all__ = ["Chunk", "Section", "edit", "keys", "pack"]

# The average number of entries per chunk, which are compressed again when one of them changes.
ENTRIES = 32


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive entries as one line of JSON, separated by commas: one member of a gzip.

    ``sizes`` are the bytes of each entry, ``digest`` is the SHA-256 of the line without its newline.
    """

    keys: tuple[str, ...]
    sizes: array[int]
    packed: bytes
    digest: bytes

    @classmethod
    def of(cls, entries: Iterable[tuple[str, bytes]]) -> Chunk:
        """Compress entries that are sorted by their keys."""
        keys, values = zip(*entries, strict=True)
        line = b",".join(values)
        return cls(keys, array("I", map(len, values)), pack(line + b"\n"), hashlib.sha256(line).digest())

    @property
    def size(self) -> int:
        """The bytes of the line, with its newline."""
        return sum(self.sizes) + len(self.sizes)

    def line(self) -> bytes:
        """The line, with its newline."""
        return zlib.decompress(self.packed, wbits=31)

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """Keys and entries."""
        line, start = self.line(), 0
        for key, size in zip(self.keys, self.sizes, strict=True):
            yield key, line[start : start + size]
            start += size + 1


Section: TypeAlias = "tuple[Chunk, ...]"


def pack(line: bytes) -> bytes:
    """One member of a gzip, without a time in its header, so that equal lines give equal bytes."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(line) + packer.flush()


def keys(section: Section) -> Iterator[str]:
    """The keys of a section, in order."""
    return chain.from_iterable(chunk.keys for chunk in section)


def edit(section: Section, gone: Collection[str], new: Mapping[str, bytes]) -> Iterator[Chunk]:
    """The chunks of a section without the keys in ``gone`` and with the entries in ``new``, which replace old ones.

    Chunks are yielded one at a time, so that the caller can pause between compressions.
    """
    ends = [chunk.keys[-1] for chunk in section]
    last = len(section) - 1
    touched = {min(bisect_left(ends, key), last) for key in (*gone, *new)}
    pending = sorted(new.items())
    position = 0
    open_entries: list[tuple[str, bytes]] = []
    for index, chunk in enumerate(section):
        # If the last entry of a chunk is removed, the chunk is merged with the next one.
        if index not in touched and not open_entries:
            yield chunk
            continue
        here = position
        while position < len(pending) and (index == last or pending[position][0] <= ends[index]):
            position += 1
        kept = (pair for pair in chunk.entries() if pair[0] not in gone and pair[0] not in new)
        entries = sorted(chain(open_entries, kept, pending[here:position]))
        *whole, rest = _cut(entries)
        yield from map(Chunk.of, whole)
        open_entries = rest
    if not section:
        *whole, open_entries = _cut(pending)
        yield from map(Chunk.of, whole)
    if open_entries:
        yield Chunk.of(open_entries)


def _cut(entries: list[tuple[str, bytes]]) -> list[list[tuple[str, bytes]]]:
    """The entries split after every key that ends a chunk; the last part may be empty."""
    runs: list[list[tuple[str, bytes]]] = [[]]
    for pair in entries:
        runs[-1].append(pair)
        if zlib.crc32(pair[0].encode()) % ENTRIES == 0:
            runs.append([])
    return runs
