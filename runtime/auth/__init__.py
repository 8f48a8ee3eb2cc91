"""Authentication of clients, and the OAuth metadata of the server."""
