"""The TLS of the webhook: a CA in a Secret, leaves in memory."""
