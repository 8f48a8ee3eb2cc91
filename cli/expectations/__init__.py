"""PURE. Expectations that users write about their own objects: cases, their outcomes, and reports."""
