"""Unquoted words mean here what they mean to kubectl. The rows were read off sigs.k8s.io/yaml 1.6 (YAMLToJSON)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cli.manifests import scalars, yaml_nodes
from cli.manifests.nodes import Broken

READ = """\
yes = true
y = true
N = false
on = true
OFF = false
true = true
True = true
tRue = "tRue"
~ = null
null = null
Null = null
nULL = "nULL"
1_000 = 1000
0777 = 511
0o14 = 12
0O17 = 15
0x1F = 31
0X1f = 31
0b101 = 5
0B1 = 1
-0b101 = -5
0b2 = "0b2"
0x = "0x"
08 = 8
1:30 = "1:30"
1:30.5 = "1:30.5"
1e3 = 1000
1E3 = 1000
1e+3 = 1000
1e = "1e"
1. = 1
.5 = 0.5
+.5 = 0.5
-.5 = -0.5
-1.5e-3 = -0.0015
1.5e+400 = "1.5e+400"
12345678901234567890 = 12345678901234567890
18446744073709551615 = 18446744073709551615
._1 = "._1"
.1_0 = 0.1
.1e = ".1e"
1__0 = 10
_1 = "_1"
+1 = 1
+0x1 = 1
--1 = "--1"
1_ = 1
0_7 = 7
1_0.5_0 = 10.5
3.0 = 3
1e21 = 1e21
2026-01-31 = "2026-01-31"
2026-01-31T10:00:00Z = "2026-01-31T10:00:00Z"
= = "="
<< = "<<"
Infinity = "Infinity"
.Infinity = ".Infinity"
!!str 1 = "1"
!!int "3" = 3
!!float 3 = 3
!!bool yes = true
!!binary aGVsbG8= = "hello"
!!timestamp 2026-01-01 = "2026-01-01"
!!null '' = null
!foo 1 = "1"
!foo [1] = [1]
"yes" = "yes"
'on' = "on"
"""


def read(text: str) -> Any:
    (node,) = yaml_nodes.compose(text)
    return node.message if isinstance(node, Broken) else node.value


@pytest.mark.parametrize("row", READ.splitlines())
def test_a_scalar_has_the_value_that_kubectl_reads(row: str) -> None:
    word, _, value = row.rpartition(" = ")

    assert repr(read(f"a: {word}")["a"]) == repr(json.loads(value))


@pytest.mark.parametrize(
    ("key", "text"), [("1", "1"), ("on", "true"), ("n", "false"), ("1.5", "1.5"), ("1e3", "1000"), ("0x10", "16")]
)
def test_a_key_becomes_the_string_that_kubectl_writes(key: str, text: str) -> None:
    assert read(f"{key}: a") == {text: "a"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: .inf", "invalid number inf"),
        ("a: -.INF", "invalid number -inf"),
        ("a: .nan", "invalid number nan"),
        ("~: a", "a key must be a string"),
        ("? [a]", "a key must be a string"),
        ('a: !!int "abc"', '"abc" is not a valid !!int'),
        ("a: !!bool maybe", '"maybe" is not a valid !!bool'),
        ("a: !!null x", '"x" is not a valid !!null'),
        ("a: !!binary '*'", '"*" is not a valid !!binary'),
    ],
)
def test_a_scalar_that_kubectl_cannot_read_is_a_fault(text: str, expected: str) -> None:
    assert expected in read(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            (word, word)
            for word in ("y", "Y", "n", "N", "yes", "no", "on", "off", "OFF", "1_000", "0b101", "0X1F", "<")
        ),
        *(("true", True), ("FALSE", False), ("", None), ("~", None), ("Null", None)),
        *(("010", 10), ("0o10", 8), ("0x1F", 31), ("-7", -7), ("+7", 7), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5)),
        *(("1e400", "1e400"), ("9" * 5000, "9" * 5000), ("2026-01-31", "2026-01-31"), ("1:30", "1:30"), (".", ".")),
    ],
)
def test_a_description_is_read_by_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    assert repr(scalars.core(text)) == repr(value)


def test_a_number_out_of_range_is_a_string() -> None:
    assert scalars.plain("9" * 5000) == "9" * 5000
