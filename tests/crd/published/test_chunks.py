"""Chunks of a section: what changes is compressed again, all else stays, whatever the way there."""

from __future__ import annotations

import gzip
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crd.published import chunks

ALL = {f"tool-{number:04}": f'{{"name":"tool-{number:04}"}}'.encode() for number in range(400)}
entries = st.dictionaries(
    st.sampled_from(sorted(ALL)[:120]), st.binary(min_size=1, max_size=9).map(bytes.hex).map(str.encode)
)


def section(entries: dict[str, bytes]) -> chunks.Section:
    return tuple(chunks.edit((), (), entries))


def content(section: chunks.Section) -> dict[str, bytes]:
    return {key: entry for chunk in section for key, entry in chunk.entries()}


@given(entries, entries, st.sets(st.sampled_from(sorted(ALL)[:120])))
def test_an_edited_section_is_the_section_of_the_edited_entries(
    before: dict[str, bytes], new: dict[str, bytes], gone: set[str]
) -> None:
    after = {key: entry for key, entry in before.items() if key not in gone} | new

    edited = tuple(chunks.edit(section(before), gone, new))

    assert edited == section(after)
    assert content(edited) == after
    assert list(chunks.keys(edited)) == sorted(after)


def test_an_entry_costs_its_chunk_and_no_other() -> None:
    before = section(ALL)
    after = tuple(chunks.edit(before, (), {"tool-0200": b'{"changed":1}'}))

    assert len(before) > 5
    assert sum(old is not new for old, new in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize("gone", [key for chunk in section(ALL)[:3] for key in chunk.keys[-1:]])
def test_an_entry_that_ended_a_chunk_leaves_its_neighbours_to_the_next(gone: str) -> None:
    before = section(ALL)
    after = tuple(chunks.edit(before, {gone}, {}))

    assert len(after) == len(before) - 1
    assert len(set(map(id, before)) & set(map(id, after))) == len(before) - 2


def test_a_chunk_is_one_line_and_one_member_of_a_gzip() -> None:
    first, *_ = section(ALL)

    line = b",".join(ALL[key] for key in first.keys)
    assert gzip.decompress(first.packed) == first.line() == line + b"\n"
    assert first.size == len(line) + 1
    assert first.digest == hashlib.sha256(line).digest()
