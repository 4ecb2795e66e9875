"""How figures read: times in the reader's zone, durations, sizes, money. Pure functions, the templates' filters."""

from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from markupsafe import Markup

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400
# Amounts of money are exact in millionths.
MICROS: Final = 1_000_000
# From there on a hundredth of an hour is of no interest.
_MANY_HOURS: Final = 100
NOTHING: Final = "—"


def parse_time(text: str | None) -> datetime | None:
    """An ISO 8601 time with a zone, None for anything else."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def moment(text: str | None, zone: ZoneInfo, *, seconds: bool = False, utc: bool = False) -> str | Markup:
    """A time in the reader's zone as a `<time>` element, with UTC at hand when pointed at; with `utc` the other way.

    static/js/app.js writes the same form, for the first page that a browser sees.
    """
    found = parse_time(text)
    if found is None:
        return NOTHING
    form = "%d %b %Y, %H:%M:%S" if seconds else "%d %b %Y, %H:%M"
    in_utc, local = found.astimezone(UTC), found.astimezone(zone)
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        in_utc.isoformat(timespec="seconds"),
        f"{local:%Y-%m-%d %H:%M:%S} {zone.key}" if utc else f"{in_utc:%Y-%m-%d %H:%M:%S} UTC",
        Markup(" data-utc") if utc else "",
        (in_utc if utc else local).strftime(form),
    )


def ago(text: str | None, now: datetime) -> str:
    """How long ago a time was, in one unit: "3 minutes ago"; "never" for no time."""
    found = parse_time(text)
    if found is None:
        return "never"
    seconds = (now - found).total_seconds()
    if seconds < _MINUTE:
        return "just now"
    for size, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    raise AssertionError


def month_title(text: str) -> str:
    """A month as November 2026; what is none stays."""
    try:
        return date.fromisoformat(f"{text}-01").strftime("%B %Y")
    except ValueError:
        return text


def day_title(text: str) -> str:
    """A date with its weekday, as Mon, 23 Nov 2026; what is no date stays."""
    try:
        return date.fromisoformat(text[:10]).strftime("%a, %d %b %Y")
    except ValueError:
        return text


def number(value: float | None) -> str:
    """12,345; fractions with up to two digits."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.2f}"


def hours(value: float | None) -> str:
    """Hours of audio as "1.52 h", below one "31.2 min", below a minute "18.7 s"."""
    return NOTHING if value is None else audio(value * _HOUR)


def audio(seconds: float | None) -> str:
    """A length of audio in the unit that suits it."""
    if seconds is None:
        return NOTHING
    if seconds >= _HOUR:
        found = seconds / _HOUR
        return f"{found:,.2f} h" if found < _MANY_HOURS else f"{found:,.1f} h".replace(".0 h", " h")
    if seconds >= _MINUTE:
        return f"{seconds / _MINUTE:.1f} min"
    return f"{seconds:.1f} s" if seconds else "0 s"


def precise(seconds: float | None) -> str:
    """A duration: "18.725 s"; from a minute on "29 m 06 s", from an hour on "1 h 02 m 06 s"."""
    if seconds is None:
        return NOTHING
    if seconds < _MINUTE:
        return f"{seconds:.3f} s"
    minutes, rest = divmod(int(seconds), _MINUTE)
    whole_hours, minutes = divmod(minutes, 60)
    return f"{whole_hours:,} h {minutes:02} m {rest:02} s" if whole_hours else f"{minutes} m {rest:02} s"


def counted(count: float | None, unit: str) -> str:
    """A count with its unit: "1 request", "12,345 requests"."""
    return f"{number(count)} {unit}{'' if count == 1 else 's'}"


def size(count: float | None) -> str:
    """Bytes in decimal units."""
    if count is None:
        return NOTHING
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:,.1f} TB"


def money(amount: float | None, units: str = "usd") -> str:
    """An amount; below a cent with more digits, so that a first second of audio is not free."""
    if amount is None:
        return NOTHING
    digits = 6 if 0 < abs(amount) < 0.001 else 4 if 0 < abs(amount) < 0.01 else 2
    sign, figure = "-" if amount < 0 else "", f"{abs(amount):,.{digits}f}"
    return f"{sign}${figure}" if units == "usd" else f"{sign}{figure} {units}"


def micros(amount: int | None) -> str:
    """An amount that the API gives in millionths of a US dollar."""
    return money(None if amount is None else amount / MICROS)


def short_id(text: str | None) -> str:
    """The end of an id, which differs between two of one second."""
    return f"…{text[-8:]}" if text else NOTHING


def whole_end(name: str) -> str | Markup:
    """A name that ends in an abbreviation, "(…x7Qz)" or "…x7Qz", which no line may break: it could behind the dots."""
    words, dots, end = name.rpartition("…")
    if not dots or " " in end:
        return name
    words, bracket = (words[:-1], "(") if words.endswith("(") else (words, "")
    return Markup('{}<span class="whole">{}…{}</span>').format(words, bracket, end)


def percent(part: float | None, whole: float | None) -> int | None:
    """How much of a limit is used, 0 to 100; None where there is no limit."""
    if not whole or part is None:
        return None
    return max(0, min(100, round(100 * part / whole)))


def reset_of_month(now: datetime) -> str:
    """When a monthly limit begins anew, as ISO 8601: the first of the next UTC month."""
    first = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1).isoformat()
