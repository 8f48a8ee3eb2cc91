"""What a tool call sends to its backend, and which field of the spec makes each part of it."""
