"""What running files have reserved is left out of what is compared with PostgreSQL."""

from typing import Any

from backend.credits import reservations
from backend.replication.mirror import Spent


class Store:
    """Redis, as far as it is read here."""

    def __init__(self, entries: dict[str, str], metered: dict[str, str]) -> None:
        self.entries = entries
        self.metered = metered

    async def hgetall(self, _name: str) -> dict[str, str]:
        return dict(self.entries)

    async def mget(self, names: list[str]) -> list[str | None]:
        return [self.metered.get(name) for name in names]

    async def hdel(self, _name: str, *requests: str) -> int:
        for request in requests:
            del self.entries[request]
        return len(requests)

    async def run(self, command: Any) -> Any:
        return await command(self)


async def test_what_has_ended_or_is_lost_reserves_nothing_and_is_forgotten() -> None:
    store: Any = Store(
        {"runs": "5 1 p:202611 a", "ended": "6 1 p:202611 a", "lost": "7 1 p:202611 a"},
        {"metered:runs": "0 3 5 5", "metered:ended": "2 9 4"},
    )
    assert await reservations.running(store) == {"runs": "5 1 p:202611 a"}
    assert list(store.entries) == ["runs"]


async def test_more_than_one_call_takes_are_all_found() -> None:
    found = {str(number): "1 1 p:202611 " for number in range(2 * reservations.BATCH + 1)}
    store: Any = Store(dict(found), {f"metered:{number}": "0 0 1 1" for number in found})
    assert await reservations.running(store) == found


async def test_each_figure_is_less_by_what_is_reserved_of_it() -> None:
    figures = {
        "a": Spent(100, 2),
        "p:202611": Spent(50, 0, 70, apart=True),
        "k:202611": Spent(9, 1, 8),
        "other": Spent(1),
    }
    texts = ["10 4 p:202611 a k:202611", "20 5 p:202611 a p:202611", "1 1 p:202611 unknown"]
    assert await reservations.without(figures, texts) == {
        "a": Spent(91, 2, -30),
        "p:202611": Spent(40, 0, 39, apart=True),
        "k:202611": Spent(5, 1, -2),
        "other": Spent(1),
    }
