"""PURE. What the step from one state of the files to another one does: verdicts, and what servers serve."""
