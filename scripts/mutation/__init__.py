"""Mutation tests: whether the tests notice when the code is changed."""
