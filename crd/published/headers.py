"""PURE. HTTP headers that a call sets: forbidden names, and the characters of a value.

Used by the models and the rules at admission, and by the runtime for each call.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FORBIDDEN_HEADERS", "HEADER_VALUE"]

# Headers, by lower-case name, that no argument, claim or forwarded header may set: those of framing and
# connections (RFC 9110, 7.6.1), credentials, and those by which proxies and MCP servers make decisions.
FORBIDDEN_HEADERS: Final = (
    "^(host|content-.*|transfer-encoding|connection|keep-alive|te|trailer|upgrade|expect|authorization|proxy-.*"
    "|cookie|set-cookie|forwarded|x-forwarded-.*|mcp-.*|traceparent|tracestate)$"
)
# Visible ASCII, with spaces inside: what every HTTP implementation passes on unchanged (RFC 9110, section 5.5).
HEADER_VALUE: Final = r"[\x21-\x7E]([\x20-\x7E]*[\x21-\x7E])?"
