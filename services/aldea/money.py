"""Amounts of money for people: whole micro-dollars (millionths of a US dollar) as dollars."""


def usd(micros: int) -> str:
    """`-6490` as `-0.00649`, `5000000` as `5.00`: exact, with two decimals at least."""
    whole, part = divmod(abs(micros), 1_000_000)
    decimals = f"{part:06}"
    return f"{'-' if micros < 0 else ''}{whole}.{decimals[:2]}{decimals[2:].rstrip('0')}"
