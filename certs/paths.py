"""PURE. The paths under which the API server calls the webhook: registered by the controller, served by the webhook."""

from __future__ import annotations

__all__ = ["MUTATE_PATH", "VALIDATE_PATH"]

VALIDATE_PATH = "/validate"
MUTATE_PATH = "/mutate"
