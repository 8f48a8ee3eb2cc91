"""Local copies of the API server's objects, kept current by list and watch, as client-go's informers keep them."""
