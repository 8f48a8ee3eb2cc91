"""What outlives a call: sessions and rate limits, in Redis or in memory."""
