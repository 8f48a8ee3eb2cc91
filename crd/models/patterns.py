"""PURE. The patterns of bounded strings, and what each means in words.

Every pattern keeps to what RE2 (the API server), Rust (the decoder) and Python read alike: explicit classes of ASCII,
no ``\\s``, ``\\d`` or ``\\w``, no look-around. Called by the models, and by `crd.problem` for the words.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BASE64",
    "DURATION",
    "HOST",
    "IDENTIFIER",
    "INGRESS_PATH",
    "LABEL_NAME",
    "MEANINGS",
    "OBJECT_NAME",
    "PATH_PREFIX",
    "SERVED_NAME",
    "SERVICE_PATH",
    "URI",
]

OBJECT_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SERVED_NAME: Final = r"^[A-Za-z0-9_.-]{1,128}$"
IDENTIFIER: Final = r"^[A-Za-z_][A-Za-z0-9_-]*$"
# Numbers with units in any order, at least one of them not 0: a time of nothing would end whatever it bounds.
DURATION: Final = r"^([0-9]+(ms|s|m|h))*[0-9]*[1-9][0-9]*(ms|s|m|h)([0-9]+(ms|s|m|h))*$"
INGRESS_PATH: Final = r"^/[A-Za-z0-9._~/{}-]*$"
# Printable ASCII without "#" and "?".
SERVICE_PATH: Final = r'^/[!"$->@-~]*$'
URI: Final = r"^[A-Za-z][A-Za-z0-9+.-]*:[!-~]+$"
BASE64: Final = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"
HOST: Final = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
PATH_PREFIX: Final = r"^(/[A-Za-z0-9._~-]+)+$"

MEANINGS: Final = {
    OBJECT_NAME: 'lower-case letters, digits, "-" and ".", with a letter or digit at both ends',
    LABEL_NAME: 'lower-case letters, digits and "-", with a letter or digit at both ends',
    SERVED_NAME: 'letters, digits, "_", "." and "-"',
    IDENTIFIER: 'a letter or "_", then letters, digits, "_" and "-"',
    DURATION: "numbers with h, m, s or ms, more than 0 together, such as 30s or 1h30m",
    INGRESS_PATH: 'a "/", then letters, digits, "/", ".", "_", "~", "-" and {parameter}s',
    SERVICE_PATH: 'a "/", then printable ASCII without spaces, "?" and "#"; write other characters as %XX',
    URI: "a scheme, a colon and printable ASCII without spaces, such as shop://policy; write other characters as %XX",
    BASE64: "base64 with its padding, on one line",
    HOST: 'a host name in lower case, "*." before it for a wildcard',
    PATH_PREFIX: 'segments that each start with "/", of letters, digits, ".", "_", "~" and "-"',
}
