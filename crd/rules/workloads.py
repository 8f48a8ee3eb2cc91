"""PURE. What no author may decide about the pods and the Ingress of a server, whatever rights the author has.

Pods of a server belong to this server alone: they must not take the place of system pods, receive the traffic of
another Service, or carry configuration into an Ingress controller that serves other tenants.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crd import ways_in
from crd.finding import Finding, Reason, shorten
from crd.models.server import ServerSpec
from crd.ref import GROUP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crd.integrity import Change
    from crd.manifest import Object

__all__ = ["INGRESS_ANNOTATIONS", "is_listed", "unlisted_annotations", "unsafe_workload"]

# Annotations that change nothing beyond the Ingress they are on. Missing on purpose: those that name other hosts,
# addresses, Secrets or middlewares, and those that rewrite paths.
INGRESS_ANNOTATIONS = frozenset(
    f"{prefix}/{name}"
    for prefix, names in {
        "nginx.ingress.kubernetes.io": (
            "backend-protocol client-body-buffer-size cors-allow-credentials cors-allow-headers cors-allow-methods "
            "cors-allow-origin cors-expose-headers cors-max-age denylist-source-range enable-cors force-ssl-redirect "
            "hsts limit-burst-multiplier limit-connections limit-rate limit-rpm limit-rps proxy-body-size "
            "proxy-buffer-size proxy-buffering proxy-connect-timeout proxy-read-timeout proxy-request-buffering "
            "proxy-send-timeout ssl-redirect whitelist-source-range"
        ),
        "nginx.org": (
            "client-max-body-size proxy-buffering proxy-connect-timeout proxy-read-timeout proxy-send-timeout "
            "redirect-to-https"
        ),
        "haproxy.org": "allow-list deny-list rate-limit-period rate-limit-requests ssl-redirect timeout-server",
        "haproxy-ingress.github.io": (
            "allowlist-source-range denylist-source-range limit-connections limit-rps ssl-redirect timeout-server"
        ),
        "traefik.ingress.kubernetes.io": "router.entrypoints router.tls",
        "cert-manager.io": "cluster-issuer duration issuer issuer-group issuer-kind renew-before",
    }.items()
    for name in names.split()
)
# What ends a directive, a string or a block in the configuration of an Ingress controller, or begins another. Some
# controllers write the values of annotations into their configuration as they are.
_DIRECTIVE = re.compile(r"""[^ -~]|[;{}"'\\#$]""")
# As `crd.models.patterns.PATH_PREFIX`, or none.
_PLAIN_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")
_RESERVED_PREFIXES = ("kubernetes.io", "k8s.io", GROUP)


def unsafe_workload(item: Object) -> Iterator[Finding]:
    """Priority classes of the system, labels by which other Services select pods, and snippets of configuration.

    Snippets may be in annotations, and in the path of the resource, which becomes a path of the Ingress.
    """
    spec = item.spec
    if not isinstance(spec, ServerSpec):
        return
    template = spec.pod_template
    if template is not None and template.priority_class_name and template.priority_class_name.startswith("system-"):
        message = (
            f"{shorten(template.priority_class_name)} is reserved for pods of the system; use a PriorityClass of the "
            'cluster whose name does not start with "system-"'
        )
        yield Finding.of(Reason.UNSAFE_WORKLOAD, item.ref, message, path=("spec", "podTemplate", "priorityClassName"))
    for key in template.labels if template is not None else ():
        if _is_reserved(key):
            message = (
                f"a Service of another application could select the pods by {shorten(key)}; use a label with a domain "
                f"of your own, such as example.com/{key.rpartition('/')[2]}"
            )
            yield Finding.of(Reason.UNSAFE_WORKLOAD, item.ref, message, path=("spec", "podTemplate", "labels", key))
    resource = spec.auth.resource if spec.auth is not None and spec.ingress is not None else None
    if resource is not None and not _PLAIN_PATH.fullmatch(path := ways_in.path_of(resource)):
        message = (
            f'the path {shorten(path)} becomes a path of the Ingress; use letters, digits, ".", "_", "~" and "-" '
            'between single "/" only'
        )
        yield Finding.of(Reason.UNSAFE_WORKLOAD, item.ref, message, path=("spec", "auth", "resource"))
    for member, given in _annotations(spec):
        for key, value in given.items():
            unsafe = _DIRECTIVE.search(value) if member == "ingress" and key in INGRESS_ANNOTATIONS else None
            if unsafe is not None:
                character = f'"{unsafe[0]}"' if unsafe[0].isprintable() else f"U+{ord(unsafe[0]):04X}"
                message = (
                    f"the value of {shorten(key)} contains {character}, which could end a directive of the "
                    "configuration that all hosts share; remove it"
                )
                yield Finding.of(Reason.UNSAFE_WORKLOAD, item.ref, message, path=("spec", member, "annotations", key))
            if _is_snippet(key):
                message = f"{shorten(key)} inserts text into the configuration that all hosts share; remove it"
                yield Finding.of(Reason.UNSAFE_WORKLOAD, item.ref, message, path=("spec", member, "annotations", key))


def unlisted_annotations(change: Change) -> tuple[Finding, ...]:
    """Annotations of the Ingress that the change sets and that are not in the built-in list, nor snippets."""
    new, old = (item.spec if item is not None else None for item in (change.new, change.old))
    if not isinstance(new, ServerSpec) or new.ingress is None:
        return ()
    former = old.ingress.annotations if isinstance(old, ServerSpec) and old.ingress is not None else {}
    return tuple(
        Finding.of(
            Reason.UNSAFE_WORKLOAD,
            change.ref,
            f"{shorten(key)} is not in the list of allowed Ingress annotations; remove it, or have an administrator of "
            "the operator add it with --ingress-annotation",
            path=("spec", "ingress", "annotations", key),
        )
        for key, value in new.ingress.annotations.items()
        if key not in INGRESS_ANNOTATIONS and former.get(key) != value and not _is_snippet(key)
    )


def is_listed(key: str, listed: Sequence[str]) -> bool:
    """Whether an annotation is in a list whose entries are keys, or prefixes that end with ``*``."""
    return any(key.startswith(entry[:-1]) if entry.endswith("*") else key == entry for entry in listed)


def _annotations(spec: ServerSpec) -> Iterator[tuple[str, Mapping[str, str]]]:
    if spec.ingress is not None:
        yield "ingress", spec.ingress.annotations
    if spec.service is not None:
        yield "service", spec.service.annotations


def _is_reserved(key: str) -> bool:
    """Whether a label has no domain, or one of Kubernetes or of this product."""
    domain, slash, _ = key.rpartition("/")
    return not slash or any(domain == each or domain.endswith(f".{each}") for each in _RESERVED_PREFIXES)


def _is_snippet(key: str) -> bool:
    """Whether an annotation carries configuration as text; haproxy-ingress calls it config-frontend and the like."""
    domain, _, name = key.lower().rpartition("/")
    return "snippet" in name or (domain.startswith("haproxy-ingress") and name.startswith("config-"))
