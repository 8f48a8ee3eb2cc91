"""PURE. What clients and model APIs accept of what a server lists: their limits as data, and how a tool meets them."""
