"""The contract's error for each refusal of admission: which limit of whose is reached, how much it is, what to do."""

from typing import Final

from aldea import errors
from aldea.money import usd
from aldea.redis.schema import TRANSCRIBE_SCOPE

# When a client should come back: stores fail over and keys load within seconds; a stream's end cannot be foreseen.
UNAVAILABLE_RETRY_SECONDS: Final = 2.0
CONCURRENCY_RETRY_SECONDS: Final = 2.0
_NAMES: Final = {"key": "API key", "project": "project", "account": "billing account"}


def refusal(reason: str, number: int, more: int, whose: str) -> errors.ApiError:
    """The error of a refusal; its parts as admit.lua returns them."""
    name = _NAMES.get(whose, "project")
    match reason:
        case "unknown" | "revoked" | "expired":
            return errors.InvalidAuth()
        case "scope":
            return errors.InsufficientPermissions(
                f"This API key lacks the scope {TRANSCRIBE_SCOPE}. Create a key that has it."
            )
        case "suspended":
            return errors.InsufficientPermissions("The project is suspended. Contact support.")
        case "rate":
            return too_fast(number / 1_000_000, name, more)
        case "concurrency":
            return errors.TooManyRequests(
                f"The {name}'s limit of {number} concurrent streams is reached. End one, or raise the limit.",
                retry_after=CONCURRENCY_RETRY_SECONDS,
            )
        case "quota":
            return errors.PaymentRequired(
                f"The {name}'s monthly audio quota is exhausted: {_seconds(number)} of {_seconds(more)} s are used. "
                "Raise it, or wait for the next month."
            )
        case "budget":
            return errors.PaymentRequired(
                f"The {name}'s monthly budget is spent: {usd(number)} of {usd(more)} USD. Raise it, or wait for the "
                "next month."
            )
        case "balance":
            return errors.PaymentRequired(_spent_up(number, more))
        case _:  # "loading": an emptied Redis is filled again within seconds
            return unavailable()


def no_room(audio_ms: int, reason: str, used: int, allowed: int, whose: str, micros: int) -> errors.PaymentRequired:
    """What is left of a limit is less than a file needs; its parts as reserve.lua returns them."""
    name = _NAMES.get(whose, "project")
    file = f"this file, which is estimated at {_seconds(audio_ms)} s"
    match reason:
        case "quota":
            return errors.PaymentRequired(
                f"The {name}'s monthly audio quota has no room for {file}: {_seconds(used)} of {_seconds(allowed)} s "
                "are used or reserved. Send a shorter file, raise the quota, or wait for the next month."
            )
        case "budget":
            return errors.PaymentRequired(
                f"The {name}'s monthly budget has no room for {file} and {usd(micros)} USD: {usd(used)} of "
                f"{usd(allowed)} USD are spent or reserved. Send a shorter file, raise the budget, or wait for the "
                "next month."
            )
        case _:
            limit = f" and the credit limit of {usd(allowed)} USD" if allowed else ""
            return errors.PaymentRequired(
                f"The billing account's balance of {usd(used)} USD{limit}, less what is reserved, has no room for "
                f"{file} and {usd(micros)} USD. Send a shorter file, or add credit."
            )


def unavailable() -> errors.ServiceUnavailable:
    """Redis is unavailable, or does not hold the keys yet."""
    return errors.ServiceUnavailable(
        "The API key cannot be checked at the moment. Try again in a few seconds.",
        retry_after=UNAVAILABLE_RETRY_SECONDS,
    )


def too_fast(retry_after: float, name: str = "project", per_minute: int = 0) -> errors.TooManyRequests:
    """A request rate is above its limit; `per_minute`: 0 if it is not known here."""
    limit = f" of {per_minute} requests a minute" if per_minute else ""
    return errors.TooManyRequests(
        f"The {name}'s request rate is above its limit{limit}. Wait as Retry-After says, or raise the limit.",
        retry_after=retry_after,
    )


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".")


def _spent_up(balance: int, owed: int) -> str:
    """Which limit is reached, where the account is, and what to do. Amounts in micro-dollars."""
    limit = f"the credit limit of {usd(owed)} USD is reached" if owed else "no request is accepted at or below 0.00 USD"
    return (
        f"The billing account's balance is {usd(balance)} USD: {limit}. Add credit; until then all projects of the "
        "account are refused."
    )
