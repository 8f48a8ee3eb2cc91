"""HTTP in both directions: the server, the client, REST paths and origins."""
