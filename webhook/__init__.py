"""Answers AdmissionReviews."""
