"""The keys with which the controller signs catalogs: what they are, and how they are kept in their Secret."""
