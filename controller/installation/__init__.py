"""Installs admission: the webhook configurations, the canary that proves them, and the rotation of the CA."""
