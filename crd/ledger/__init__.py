"""PURE. Level 2 of integrity: which writes are being admitted, and which of them conflict."""
