"""PURE. The bytes of a reply as text: which media types are text, and in which charset a body is written.

The order is that of RFC 7303, section 3.2: a byte order mark, the parameter ``charset``, what the document declares
about itself, and UTF-8 (RFC 8259, section 8.1). Every step takes time linear in the body.
"""

from __future__ import annotations

import codecs
import json
import re
from encodings.aliases import aliases
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from runtime.http.exchange import Reply

__all__ = ["Text", "decode", "is_blank", "is_text"]

# Media types outside text/* whose content is text (registered with IANA, or in common use before they were).
_TEXT_TYPES = re.compile(
    "application/(.*[+-])?("
    "csv|graphql|javascript|json5?|json-seq|jsonl|jsonlines|jwt|ndjson|openmetrics-text|pem-file|sh|sparql-query|sql"
    "|toml|typescript|xhtml|xml|xml-dtd|yaml|yml|x-www-form-urlencoded"
    ")"
)
# Drawings in SVG are text: providers of models accept only bitmaps as images.
_SVG = "image/svg+xml"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's names of the charsets that replies are read in. All other codecs of Python are left out: some are not
# charsets (rot13), some take time quadratic in the text (idna).
_CHARSET_NAMES = """
ascii big5 big5hkscs cp037 cp437 cp500 cp737 cp775 cp850 cp852 cp855 cp857 cp858 cp860 cp861 cp862 cp863 cp864 cp865
cp866 cp869 cp874 cp932 cp949 cp950 cp1140 cp1250 cp1251 cp1252 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 euc_jp
euc_jis_2004 euc_jisx0213 euc_kr gb2312 gb18030 gbk hz iso2022_jp iso2022_jp_1 iso2022_jp_2 iso2022_kr iso8859-1
iso8859-2 iso8859-3 iso8859-4 iso8859-5 iso8859-6 iso8859-7 iso8859-8 iso8859-9 iso8859-10 iso8859-11 iso8859-13
iso8859-14 iso8859-15 iso8859-16 johab koi8-r koi8-t koi8-u kz1048 mac-cyrillic mac-greek mac-iceland mac-latin2
mac-roman mac-turkish ptcp154 shift_jis shift_jis_2004 shift_jisx0213 tis-620 utf-8 utf-16 utf-16-be utf-16-le utf-32
utf-32-be utf-32-le
"""
# What the Encoding Standard of WHATWG reads under these names: their supersets on Windows.
_SUPERSETS = {
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "shift_jis": "cp932",
    "gb2312": "gb18030",
}
# Without a byte order mark the order of bytes is big-endian (RFC 2781, section 4.3), but common writers use the other.
# A body that is labelled ASCII and has other characters is usually UTF-8, else what WHATWG reads it as.
_DEFAULT_ORDER = {
    "utf-16": ("utf-16-le", "utf-16-be"),
    "utf-32": ("utf-32-le", "utf-32-be"),
    "ascii": ("utf-8", "cp1252"),
}
_DECLARED = re.compile(
    rb"""\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([A-Za-z0-9._:-]{1,40})["']"""
    rb"""|[\s\S]{0,900}?<meta\s[^>]{0,100}?charset\s*=\s*["']?([A-Za-z0-9._:-]{1,40})""",
    re.IGNORECASE,
)
# What differs between two spellings of a charset's name.
_PUNCTUATION = re.compile("[^a-z0-9]+")
_JSON_STARTS = (b"{", b"[")
_BLANK = re.compile(rb"[ \t\r\n\0]*+")


class Text(NamedTuple):
    """A body as text. ``note`` says what was lost or guessed; empty if nothing was."""

    content: str
    note: str = ""


def is_text(reply: Reply) -> bool:
    """Whether a reply is text by its media type, or without a media type by its bytes."""
    media_type = reply.media_type
    if not media_type:
        return not decode(reply).note and b"\0" not in reply.body
    return media_type.startswith("text/") or media_type == _SVG or _TEXT_TYPES.fullmatch(media_type) is not None


def is_blank(body: bytes) -> bool:
    """Whether a body holds nothing but white space, with or without a byte order mark."""
    for mark, _ in _BYTE_ORDER_MARKS:
        body = body.removeprefix(mark)
    return _BLANK.fullmatch(body) is not None


def decode(reply: Reply) -> Text:
    """The body as text, without its byte order mark. Bytes that the charset does not have become U+FFFD."""
    body, declared = reply.body, reply.charset
    if body[:1] in _JSON_STARTS and body[1:2] != b"\0" and declared in ("", "utf-8") and reply.is_json:
        # What nearly every reply is. Whatever is not valid UTF-8 is looked at again.
        try:
            return Text(body.decode())
        except UnicodeDecodeError:
            pass
    for mark, charset in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return _replace(body[len(mark) :], charset, is_cut=reply.cut is not None)
    name = _python_name(declared)
    if not declared:
        found = _DECLARED.match(body[:1024]) if reply.media_type.endswith(("xml", "html")) else None
        name = _python_name((found[1] or found[2]).decode().lower()) if found else ""
        if name.startswith("utf-"):
            # The declaration was read as ASCII, so the body is not in one of the wider forms.
            name = "utf-8"
        if reply.is_json and not name:
            name = json.detect_encoding(body)
    if not name:
        note = f"the charset {declared[:40]!a} is unknown; read as UTF-8" if declared else ""
        text = _replace(body, "utf-8", is_cut=reply.cut is not None)
        return Text(text.content, "; ".join(filter(None, (note, text.note))))
    return _replace(body, name, is_cut=reply.cut is not None)


def _replace(body: bytes, charset: str, *, is_cut: bool) -> Text:
    """The text of a body. The last character of a body that was cut may be incomplete; it is left out."""
    for candidate in _DEFAULT_ORDER.get(charset, (charset,)):
        try:
            return Text(codecs.getincrementaldecoder(candidate)().decode(body, final=not is_cut))
        except UnicodeError:
            continue
    content = body.decode(_DEFAULT_ORDER.get(charset, (charset,))[0], errors="replace")
    lost = content.count("\N{REPLACEMENT CHARACTER}")
    counted, replaced = ("1 character is", "was replaced") if lost == 1 else (f"{lost} characters are", "were replaced")
    return Text(content, f"{counted} not valid {charset} and {replaced}")


def _python_name(charset: str) -> str:
    """Python's name of a charset; empty if it is unknown."""
    return _NAMES.get(_PUNCTUATION.sub("_", charset), "")


def _names() -> dict[str, str]:
    """Python's name of each charset, by each of its names. Asking `codecs` instead would remember every question."""
    modules = {_PUNCTUATION.sub("_", name): name for name in _CHARSET_NAMES.split()} | {"latin_1": "iso8859-1"}
    names = modules | {_PUNCTUATION.sub("_", alias): modules[of] for alias, of in aliases.items() if of in modules}
    names |= {"x_sjis": "cp932", "x_gbk": "gbk", "x_euc_jp": "euc_jp", "x_mac_roman": "mac-roman"}
    return {alias: _SUPERSETS.get(name, name) for alias, name in names.items()}


_NAMES = _names()
