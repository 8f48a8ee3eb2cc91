"""PURE. The security schemes of a description as headers whose values come from a Secret."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.imports.description import UnusableError, mapping

if TYPE_CHECKING:
    from cli.imports.description import Description, Operation

__all__ = ["Credentials", "Schemes"]

_KEY = re.compile(r"[^A-Za-z0-9._-]+")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")


@dataclass(frozen=True, slots=True)
class Credentials:
    """The headers of an operation for ``spec.headersFrom``, and the notes on what they cannot hold."""

    headers: tuple[dict[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


class Schemes:
    """The security schemes of a description. Each is a key of one Secret."""

    def __init__(self, description: Description, secret: str) -> None:
        self._secret = secret
        self._default = description.content.get("security")
        self._headers: dict[str, dict[str, Any]] = {}
        self._reasons: dict[str, str] = {}
        self._named: dict[tuple[str, str], str] = {}
        given = mapping(mapping(description.content.get("components")).get("securitySchemes"))
        for name, node in given.items():
            try:
                scheme = description.resolve(node)
            except UnusableError as error:
                self._reasons[name] = str(error)
                continue
            if scheme.get("type") == "apiKey" and isinstance(scheme.get("name"), str):
                self._named.setdefault((str(scheme.get("in")), scheme["name"].lower()), name)
            header = self._header(name, scheme)
            if isinstance(header, str):
                self._reasons[name] = header
            else:
                self._headers[name] = header
        # Parameters that carry credentials do not become arguments, because a model must not see them.
        self.parameters = frozenset(self._named)

    def of(self, operation: Operation) -> Credentials:
        """The first alternative of an operation that headers can hold in full, else the best one, with notes.

        A required parameter with the name of a scheme is sent, too, whether the operation demands the scheme or not.
        """
        given = operation.content.get("security", self._default)
        alternatives = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
        optional = not alternatives or {} in alternatives
        best = {} if optional else min(alternatives, key=lambda each: sum(name not in self._headers for name in each))
        required = (
            self._named.get((parameter["in"], parameter["name"].lower()))
            for parameter in operation.parameters
            if parameter.get("required") is True
        )
        headers: dict[str, dict[str, Any]] = {}
        notes = []
        for name in dict.fromkeys((*best, *filter(None, required))):
            header = self._headers.get(name)
            if header is None:
                why = self._reasons.get(name, "the description does not define it")
                notes.append(f'the credentials "{name}" are not sent: {why}')
            else:
                headers.setdefault(header["name"].lower(), header)
        return Credentials(tuple(headers.values()), tuple(notes))

    def _header(self, name: str, scheme: Any) -> dict[str, Any] | str:
        """The entry of ``spec.headersFrom``, or why there is none."""
        key = _KEY.sub("-", name).strip("-.")[:253] or "credentials"
        reference = {"secretKeyRef": {"name": self._secret, "key": key}}
        kind = scheme.get("type")
        if kind == "apiKey":
            place, header = scheme.get("in"), scheme.get("name")
            if place == "header" and isinstance(header, str) and _HEADER.fullmatch(header):
                return {"name": header, **reference}
            if place == "cookie" and isinstance(header, str) and _HEADER.fullmatch(header) and len(header) < 64:
                return {"name": "Cookie", "prefix": f"{header}=", **reference}
            return f"the key is expected in {place} {str(header)[:64]!r}, and a Secret fills headers only"
        if kind in ("oauth2", "openIdConnect"):
            return {"name": "Authorization", "prefix": "Bearer ", **reference}
        if kind == "http":
            method = str(scheme.get("scheme", "")).lower()
            if method in ("basic", "bearer"):
                return {"name": "Authorization", "prefix": f"{method.capitalize()} ", **reference}
            return f"a Secret cannot hold the answer of the HTTP scheme {method[:40]!r}"
        return f"a Secret cannot hold credentials of type {str(kind)[:40]!r}"
