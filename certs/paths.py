"""PURE. The paths under which the API server calls the webhook: registered by the controller, served by the webhook."""

from __future__ import annotations

__all__ = ["MUTATE_PATH", "NOTE_DELETION_PATH", "VALIDATE_PATH"]

VALIDATE_PATH = "/validate"
MUTATE_PATH = "/mutate"
# Deletions are noted, never judged.
NOTE_DELETION_PATH = "/note-deletion"
