"""PURE. The patterns of bounded strings, and the description of each for messages.

Every pattern uses only syntax that RE2 (API server), Rust (pydantic) and Python interpret alike: explicit ASCII
classes, no ``\\s``, ``\\d`` or ``\\w``, no look-around. The descriptions complete "must be …".
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "BASE64",
    "CIDR",
    "DIGEST",
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
# Numbers with units in any order, at least one of them not 0: a limit of zero seconds would end every call.
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
# With a host name and a port that exist: a URL that nobody can parse would be found out where it is used.
WEB_URL: Final = (
    r"^https?://[A-Za-z0-9._-]+"
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?([/?#][!-~]*)?$"
)
ORIGIN: Final = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$"
CIDR: Final = r"^[0-9a-fA-F:.]+/[0-9]{1,3}$"
DIGEST: Final = r"^sha256:[0-9a-f]{64}$"
RATIO: Final = r"^(0([.][0-9]{1,6})?|1([.]0{1,6})?)$"
NAME_PREFIX: Final = r"^[A-Za-z0-9_.-]*$"

MEANINGS: Final = {
    OBJECT_NAME: 'a name of lower-case letters, digits, "-" and ".", starting and ending with a letter or digit',
    LABEL_NAME: 'a name of lower-case letters, digits and "-", starting and ending with a letter or digit',
    SERVED_NAME: 'a name of letters, digits, "_", "." and "-"',
    IDENTIFIER: 'a name of letters, digits, "_" and "-", starting with a letter or "_"',
    DURATION: "a duration greater than 0 in h, m, s or ms, such as 30s or 1h30m",
    INGRESS_PATH: 'a path that starts with "/" and has letters, digits, "/", ".", "_", "~", "-" and {parameter}s',
    SERVICE_PATH: 'a path that starts with "/" and encodes spaces, "?", "#" and non-ASCII characters as %XX',
    URI: "a URI such as shop://policy that encodes spaces and non-ASCII characters as %XX",
    BASE64: "base64 with padding, on one line",
    HOST: 'a lower-case host name, optionally with the wildcard prefix "*."',
    PATH_PREFIX: 'a path such as /mcp, with letters, digits, ".", "_", "~" and "-" and without a trailing "/"',
    PATH_TEMPLATE: "a path such as /orders/{id}, of ASCII letters, digits, %XX and {argument}s",
    HEADER_NAME: 'a header name of letters, digits and "-"',
    HEADER_TEXT: "printable ASCII",
    POINTER: 'a JSON Pointer such as /items/0, with "/" in a name as ~1 and "~" as ~0',
    KEY: 'a key of letters, digits, "-", "_" and "."',
    STATUS: "a status code such as 404, or a class such as 2xx",
    FILE_NAME: 'a file name of letters, digits, spaces, "-", "_" and "."',
    MEDIA_TYPE: "a media type such as application/json",
    LABEL_KEY: "a label key such as name or domain/name",
    LABEL_VALUE: 'a label value of letters, digits, "-", "_" and ".", starting and ending with a letter or digit',
    KEY_PREFIX: 'a prefix of letters, digits, ":", ".", "_" and "-"',
    HTTPS_URL: "an https URL",
    WEB_URL: "an http or https URL with a host name",
    ORIGIN: "an origin such as https://app.example.com",
    CIDR: "a CIDR block such as 10.0.0.0/8",
    DIGEST: "sha256: and 64 hexadecimal digits, as mcp-operator import mcp writes them",
    RATIO: "a number from 0 to 1, such as 0.05",
    NAME_PREFIX: 'a prefix of letters, digits, "_", "." and "-"',
}
