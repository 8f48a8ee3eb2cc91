"""PURE. The graph of servers, members and Services, and its renderings."""
