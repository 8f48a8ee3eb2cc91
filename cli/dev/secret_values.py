"""PURE. The values of Secrets and ConfigMaps that servers need: where they come from, and how they are hidden."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from crd.models.resource import ResourceSpec
from crd.models.server import ServerSpec
from crd.models.tool import ToolSpec
from crd.ref import Kind, Ref

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from crd.manifest import Object

__all__ = ["Item", "Redaction", "environment_name", "items_of", "needed_by", "read_environment"]

# A value that is shorter occurs in texts by chance.
SHORTEST = 4
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_KEY = re.compile(r"[-._a-zA-Z0-9]+")
PREFIX = "MCP_SECRET"


class Item(NamedTuple):
    """A key of a Secret or ConfigMap. The key is empty if all of its keys are needed (those of clients)."""

    ref: Ref
    key: str

    def __str__(self) -> str:
        return f"<{self.ref.kind.value} {self.ref.key} key {self.key}>"


def items_of(raw: Mapping[str, Any], namespace: str) -> Iterator[tuple[Item, bytes]]:
    """The values of a Secret or ConfigMap of a file. Raises ValueError for one that Kubernetes would refuse."""
    metadata = raw.get("metadata") or {}
    kind, name, place = Kind(raw["kind"]), str(metadata.get("name")), str(metadata.get("namespace") or namespace)
    ref = Ref(kind, place, name)
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(place):
        raise ValueError(f"{kind.value} has an invalid name or namespace")
    encoded = raw.get("data" if kind is Kind.SECRET else "binaryData") or {}
    plain = raw.get("stringData" if kind is Kind.SECRET else "data") or {}
    for key, value in [*encoded.items(), *plain.items()]:
        if not isinstance(key, str) or not _KEY.fullmatch(key) or key.startswith(".."):
            raise ValueError(f"a key of {ref} is not valid")
        if not isinstance(value, str):
            raise ValueError(f"the value of key {key} of {ref} must be a string")  # noqa: TRY004 -- of a field
    for key, value in encoded.items():
        try:
            yield Item(ref, key), base64.b64decode(value, validate=True)
        except binascii.Error as error:
            raise ValueError(f"the value of key {key} of {ref} must be base64") from error
    for key, value in plain.items():
        yield Item(ref, key), value.encode("utf-8", "surrogatepass")


def needed_by(objects: Iterable[Object]) -> Iterator[Item]:
    """What pods would mount for these objects."""
    for item in objects:
        spec, namespace = item.spec, item.ref.namespace
        if isinstance(spec, ToolSpec | ResourceSpec):
            for source in spec.headers_from:
                if source.secret_key_ref is not None:
                    yield Item(Ref(Kind.SECRET, namespace, source.secret_key_ref.name), source.secret_key_ref.key)
                elif source.config_map_key_ref is not None:
                    key = source.config_map_key_ref
                    yield Item(Ref(Kind.CONFIG_MAP, namespace, key.name), key.key)
            if spec.tls is not None and spec.tls.ca_secret_name:
                yield Item(Ref(Kind.SECRET, namespace, spec.tls.ca_secret_name), "ca.crt")
        elif isinstance(spec, ServerSpec) and spec.auth is not None:
            if spec.auth.api_key is not None:
                yield Item(Ref(Kind.SECRET, namespace, spec.auth.api_key.secret_name), "")
            if spec.auth.jwt is not None and spec.auth.jwt.jwks_secret_name:
                yield Item(Ref(Kind.SECRET, namespace, spec.auth.jwt.jwks_secret_name), "jwks.json")


def environment_name(item: Item) -> str:
    """The environment variable that holds a value: ``MCP_SECRET_SHOP_CRM_TOKEN`` for key token of Secret shop/crm."""
    text = f"{PREFIX}_{item.ref.namespace}_{item.ref.name}_{item.key}"
    return re.sub("[^A-Z0-9]", "_", text.upper())


def read_environment(
    needed: Iterable[Item], environment: Mapping[str, str]
) -> tuple[dict[Item, bytes], tuple[str, ...]]:
    """The values that environment variables give, and messages about variables that could be meant for two.

    Of a Secret whose keys are the names of clients, each variable with its prefix is a client.
    """
    found: dict[str, list[Item]] = {}
    for item in dict.fromkeys(needed):
        name = environment_name(item)
        if item.key:
            matching = [(name, item)] if name in environment else []
        else:
            rest = ((each, each.removeprefix(name).lower()) for each in environment if each.startswith(name))
            matching = [(each, Item(item.ref, key)) for each, key in rest if _KEY.fullmatch(key)]
        for variable, meant in matching:
            found.setdefault(variable, []).append(meant)
    doubtful = tuple(
        f"{name} is not used: it could be meant for {' and '.join(map(str, items))}; use --secret-file"
        for name, items in found.items()
        if len(items) > 1
    )
    values = {
        items[0]: environment[name].encode("utf-8", "surrogateescape")
        for name, items in found.items()
        if len(items) == 1
    }
    return values, doubtful


@dataclass(frozen=True, slots=True)
class Redaction:
    """Replaces the values of Secrets in what is shown by ``<Secret namespace/name key key>``."""

    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    _pattern: re.Pattern[str] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, values: Mapping[Item, bytes]) -> Redaction:
        """For these values; those of ConfigMaps are not hidden."""
        names: dict[str, str] = {}
        for item, value in values.items():
            text = value.decode("utf-8", "replace").strip()
            if item.ref.kind is Kind.SECRET and len(text) >= SHORTEST:
                names.setdefault(text, str(item))
                names.setdefault(base64.b64encode(value).decode(), str(item))
        longest = sorted(names, key=len, reverse=True)
        return cls(names, re.compile("|".join(map(re.escape, longest))) if longest else None)

    def text(self, text: str) -> str:
        """A text without the values."""
        return text if self._pattern is None else self._pattern.sub(lambda match: self.names[match[0]], text)

    def any(self, value: Any) -> Any:
        """A JSON value whose strings and names do not contain the values."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(key)): self.any(child) for key, child in value.items()}
        return [self.any(child) for child in value] if isinstance(value, list | tuple) else value
