"""What audio costs: whole millionths of a US dollar from whole milliseconds, each request rounded once. Pure."""

from decimal import Decimal
from typing import Final

MICROS: Final = 1_000_000
HOUR_MS: Final = 3_600_000


def price_micros(price_per_hour_usd: Decimal) -> int:
    """A price per hour in millionths of a dollar. The setting allows no finer price."""
    return int(price_per_hour_usd * MICROS)


def cost_micros(audio_ms: int, price: int) -> int:
    """What a request of `audio_ms` is charged at `price` micro-dollars an hour, rounded half up.

    The one rounding there is: all other figures of money are sums of requests' charges. `charge_micros` of migration
    0008 is the same in the database, which charges; this serves its tests and who wants to reckon it up.
    """
    return (audio_ms * price + HOUR_MS // 2) // HOUR_MS


def dollars(micros: int) -> float:
    """Micro-dollars as a JSON number of dollars; exact to the sixth decimal below nine billion dollars."""
    return micros / MICROS


def hours(audio_ms: int) -> float:
    """Milliseconds as a JSON number of hours."""
    return audio_ms / HOUR_MS
