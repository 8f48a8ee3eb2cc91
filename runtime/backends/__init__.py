"""Calls to backends: dispatch, resilience, credentials and faults."""
