"""PURE. Faults as values: Reason, Level, Finding and Verdict.

Findings, conditions, metrics and documentation pages use the same reasons.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crd.ref import Ref

__all__ = ["Finding", "Level", "Reason", "Verdict", "format_path", "shorten"]


class Level(StrEnum):
    """Whether a finding denies the change or is only a warning."""

    ERROR = "error"
    WARNING = "warning"

    __hash__ = str.__hash__  # see Kind


class Reason(StrEnum):
    """The kind of fault. CamelCase; never renamed once released."""

    BREAKING_SCHEMA_CHANGE = "BreakingSchemaChange"
    CATALOG_TOO_LARGE = "CatalogTooLarge"
    CLIENT_PORTABILITY = "ClientPortability"
    CONFUSABLE_TOOLS = "ConfusableTools"
    CONTEXT_BUDGET_EXCEEDED = "ContextBudgetExceeded"
    CONTRADICTORY_HINT = "ContradictoryHint"
    CONTRADICTORY_VALUE = "ContradictoryValue"
    CROSS_NAMESPACE_DENIED = "CrossNamespaceDenied"
    DUPLICATE_ENTRY = "DuplicateEntry"
    DUPLICATE_INGRESS_PATH = "DuplicateIngressPath"
    DUPLICATE_NAME = "DuplicateName"
    DUPLICATE_OBJECT = "DuplicateObject"
    DUPLICATE_URI = "DuplicateURI"
    EMPTY_SELECTOR = "EmptySelector"
    ENDPOINT_FORBIDDEN = "EndpointForbidden"
    HOST_FORBIDDEN = "HostForbidden"
    IMMUTABLE_FIELD = "ImmutableField"
    INEFFECTIVE_KEYWORD = "IneffectiveKeyword"
    INGRESS_TAKEN = "IngressTaken"
    INSECURE_TLS = "InsecureTLS"
    INVALID_CONTENT = "InvalidContent"
    INVALID_DOCUMENT = "InvalidDocument"
    INVALID_FIELD = "InvalidField"
    INVALID_MAPPING = "InvalidMapping"
    INVALID_NAME = "InvalidName"
    INVALID_SCHEMA = "InvalidSchema"
    INVALID_SELECTOR = "InvalidSelector"
    INVALID_URI = "InvalidURI"
    INVALID_URI_TEMPLATE = "InvalidURITemplate"
    LARGE_REPLY = "LargeReply"
    LONG_NAME = "LongName"
    LONG_TIMEOUT = "LongTimeout"
    NAME_CONFLICT = "NameConflict"
    NOT_SELECTED = "NotSelected"
    PATTERN_TOO_LARGE = "PatternTooLarge"
    POLICY_MATCHES_NOTHING = "PolicyMatchesNothing"
    PUBLIC_WITHOUT_AUTH = "PublicWithoutAuth"
    REDIS_REQUIRED = "RedisRequired"
    REMOTE_REFERENCE = "RemoteReference"
    SCHEMA_TOO_LARGE = "SchemaTooLarge"
    SECRET_FORBIDDEN = "SecretForbidden"  # noqa: S105 -- a reason, not a secret
    SECRET_MISSING = "SecretMissing"  # noqa: S105 -- a reason, not a secret
    SELECTS_NOTHING = "SelectsNothing"
    SERVICE_EXTERNAL_NAME = "ServiceExternalName"
    SERVICE_MISSING = "ServiceMissing"
    SERVICE_PORT_MISSING = "ServicePortMissing"
    UNAVAILABLE_CLAIM = "UnavailableClaim"
    UNDECLARED_PLACEHOLDER = "UndeclaredPlaceholder"
    UNDESCRIBED_ARGUMENT = "UndescribedArgument"
    UNKNOWN_FIELD = "UnknownField"
    UNMAPPED_ARGUMENT = "UnmappedArgument"
    UNREACHABLE_SCOPES = "UnreachableScopes"
    UNSAFE_HEADER = "UnsafeHeader"
    UNSAFE_PATH = "UnsafePath"
    UNSAFE_RETRY = "UnsafeRetry"
    UNSAFE_TEXT = "UnsafeText"
    UNSAFE_WORKLOAD = "UnsafeWorkload"
    UNSATISFIABLE_SCHEMA = "UnsatisfiableSchema"
    UNSUPPORTED_PATTERN = "UnsupportedPattern"
    UNUSED_VARIABLE = "UnusedVariable"
    WEAK_DESCRIPTION = "WeakDescription"
    WORKLOAD_FORBIDDEN = "WorkloadForbidden"

    __hash__ = str.__hash__  # see Kind

    @property
    def level(self) -> Level:
        """The level unless a rule sets another one: missing objects and advice warn, contradictions deny."""
        return Level.WARNING if self in _WARNINGS else Level.ERROR


_WARNINGS = frozenset(
    {
        Reason.BREAKING_SCHEMA_CHANGE,
        Reason.CLIENT_PORTABILITY,
        Reason.CONFUSABLE_TOOLS,
        Reason.CONTRADICTORY_HINT,
        Reason.CONTRADICTORY_VALUE,
        Reason.INEFFECTIVE_KEYWORD,
        Reason.INSECURE_TLS,
        Reason.LARGE_REPLY,
        Reason.LONG_NAME,
        Reason.LONG_TIMEOUT,
        Reason.NOT_SELECTED,
        Reason.POLICY_MATCHES_NOTHING,
        Reason.PUBLIC_WITHOUT_AUTH,
        Reason.SECRET_MISSING,
        Reason.SELECTS_NOTHING,
        Reason.SERVICE_MISSING,
        Reason.SERVICE_PORT_MISSING,
        Reason.UNAVAILABLE_CLAIM,
        Reason.UNDESCRIBED_ARGUMENT,
        Reason.UNREACHABLE_SCOPES,
        Reason.UNSATISFIABLE_SCHEMA,
        Reason.UNUSED_VARIABLE,
        Reason.WEAK_DESCRIPTION,
    }
)


def format_path(path: Sequence[str | int]) -> str:
    """A field path in the usual notation: ``spec.variables[0].name``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


MAX_MESSAGE = 1024
MAX_FINDINGS = 100


def shorten(text: str) -> str:
    """A text in quotes, cut to 80 characters."""
    return f'"{text}"' if len(text) <= 80 else f'"{text[:79]}…"'


@dataclass(frozen=True, slots=True)
class Finding:
    """A violated rule.

    Identity is ``(reason, ref, subject, level)``. Message, path and related objects may change while the fault remains
    the same, so that a partial repair, such as a lower count, is not a new fault.

    ``subject`` distinguishes faults with the same reason and object (a field, a placeholder, a server and a name).
    ``path`` is the field path, members and list indexes, as in ``("spec", "variables", 0, "name")``.
    """

    reason: Reason
    ref: Ref
    subject: tuple[str, ...]
    message: str = field(compare=False)
    path: tuple[str | int, ...] = field(default=(), compare=False)
    related: tuple[Ref, ...] = field(default=(), compare=False)
    level: Level = Level.ERROR

    @classmethod
    def of(
        cls,
        reason: Reason,
        ref: Ref,
        message: str,
        *,
        subject: tuple[str, ...] = (),
        path: tuple[str | int, ...] = (),
        related: tuple[Ref, ...] = (),
        level: Level | None = None,
    ) -> Finding:
        """A finding, by default with the level of its reason and the field path as subject.

        Messages are truncated to 1024 characters.
        """
        cut = message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"
        return cls(reason, ref, subject or tuple(map(str, path)), cut, path, related, level or reason.level)

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle needs; the one of dataclasses looks up each field by name, and takes several times as long."""
        return Finding, (self.reason, self.ref, self.subject, self.message, self.path, self.related, self.level)

    @property
    def field_path(self) -> str:
        """The path in the usual notation, ``spec.variables[0].name``; empty if it is about the whole object."""
        return format_path(self.path)

    def __str__(self) -> str:
        where = f" {self.field_path}:" if self.path else ""
        return f"{self.reason.value}:{where} {self.message}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The findings about a change or object, sorted: errors first, then by object, reason and subject."""

    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Verdict:
        """Sort the findings; of several with the same identity, the first is kept."""
        distinct = dict.fromkeys(findings)
        return cls(tuple(sorted(distinct, key=lambda f: (f.level, f.ref, f.reason, f.subject))))

    def first(self, count: int = MAX_FINDINGS, further: int = 0) -> Verdict:
        """At most ``count`` findings, and one more with the number of omitted findings, including ``further`` ones.

        It has the reason and level of the first omitted finding, so that a verdict that denies still denies.
        """
        if len(self.findings) <= count:
            return self
        left = self.findings[count]
        message = f"{len(self.findings) - count + further} more findings are not listed; correct the listed ones first"
        more = Finding(left.reason, left.ref, ("more",), message, level=left.level)
        return Verdict((*self.findings[:count], more))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that deny the change."""
        return tuple(f for f in self.findings if f.level is Level.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that are only warnings."""
        return tuple(f for f in self.findings if f.level is Level.WARNING)

    @property
    def allowed(self) -> bool:
        """Whether there are no errors."""
        return all(f.level is not Level.ERROR for f in self.findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)
