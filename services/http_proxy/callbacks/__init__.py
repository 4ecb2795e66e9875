"""Results that are sent to a customer's URL: kept in Redis, delivered at least once."""
