"""PURE. The patterns of bounded strings, and what each means in words.

Every pattern keeps to what RE2 (the API server), Rust (the decoder) and Python read alike: explicit classes of ASCII,
no ``\\s``, ``\\d`` or ``\\w``, no look-around. Called by the models, and by `crd.models.problem` for the words.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BASE64",
    "CIDR",
    "DURATION",
    "FILE_NAME",
    "HEADER_NAME",
    "HEADER_TEXT",
    "HOST",
    "HTTPS_URL",
    "IDENTIFIER",
    "INGRESS_PATH",
    "KEY",
    "KEY_PREFIX",
    "LABEL_KEY",
    "LABEL_NAME",
    "LABEL_VALUE",
    "MEANINGS",
    "MEDIA_TYPE",
    "NAME_PREFIX",
    "OBJECT_NAME",
    "ORIGIN",
    "PATH_PREFIX",
    "PATH_TEMPLATE",
    "POINTER",
    "SERVED_NAME",
    "SERVICE_PATH",
    "STATUS",
    "URI",
    "WEB_URL",
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
PATH_TEMPLATE: Final = r"^(/([A-Za-z0-9._~!$&'()*+,;=:@%-]|[{][A-Za-z_][A-Za-z0-9_-]*[+]?[}])*)*$"
HEADER_NAME: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
HEADER_TEXT: Final = r"^[ -~]*$"
POINTER: Final = r"^(/([^/~]|~[01])*)*$"
KEY: Final = r"^[A-Za-z0-9._-]+$"
STATUS: Final = r"^[1-5]([0-9]{2}|xx)$"
FILE_NAME: Final = r"^[A-Za-z0-9 ._-]+$"
MEDIA_TYPE: Final = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[ -~]*)?$"
LABEL_KEY: Final = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
)
LABEL_VALUE: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
KEY_PREFIX: Final = r"^[A-Za-z0-9:._-]+$"
HTTPS_URL: Final = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?$"
WEB_URL: Final = r"^https?://[!-~]+$"
ORIGIN: Final = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"
CIDR: Final = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$"
NAME_PREFIX: Final = r"^[A-Za-z0-9_.-]*$"

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
    PATH_TEMPLATE: 'segments that each start with "/", of ASCII letters, digits, %XX and {argument}s',
    HEADER_NAME: 'a header name: letters, digits and "-"',
    HEADER_TEXT: "printable ASCII",
    POINTER: 'a JSON Pointer: steps that each start with "/", with ~1 for "/" and ~0 for "~"',
    KEY: 'letters, digits, "-", "_" and "."',
    STATUS: "a status code such as 404, or a class such as 2xx",
    FILE_NAME: 'letters, digits, spaces, "-", "_" and "."',
    MEDIA_TYPE: "a media type such as application/json",
    LABEL_KEY: "a label key: name or domain/name",
    LABEL_VALUE: 'letters, digits, "-", "_" and ".", with a letter or digit at both ends',
    KEY_PREFIX: 'letters, digits, ":", ".", "_" and "-"',
    HTTPS_URL: "an https URL",
    WEB_URL: "an http or https URL",
    ORIGIN: "an origin such as https://app.example.com",
    CIDR: "a network such as 10.0.0.0/8",
    NAME_PREFIX: 'letters, digits, "_", "." and "-"',
}
