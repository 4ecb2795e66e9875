"""Usage: requests, hours by day and by what they belong to, exports, balances and spend; what a bill is read from."""
