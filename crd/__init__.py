"""What our objects are, and when a set of them is right. Pure: no network, clock, environment or log."""
