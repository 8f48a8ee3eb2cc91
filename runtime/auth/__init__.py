"""Who a client is: API keys, tokens, and the OAuth metadata that tells where to get one."""
