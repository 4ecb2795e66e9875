"""The power of two choices: bursts spread, loads even out."""

import random

import pytest
from yarl import URL

from aldea.upstream import Circuit, State, Upstream
from aldea.upstream.choice import candidates, less_loaded, order
from aldea.upstream.stats import Stats

NOW = 1000.0


def server(capacity: int | None = None, used: int = 0, held: int = 0) -> Upstream:
    made = Upstream(URL("http://stt:8800"), Circuit(lambda: NOW, lambda: 0.5))
    made.stats, made.read_at = Stats(capacity, used), NOW
    made.held = made.held_then = held
    return made


def test_of_two_the_one_with_the_smaller_share_taken_is_first() -> None:
    large, small = server(100, 20), server(10, 5)
    assert less_loaded(large, small, NOW) is large
    assert less_loaded(small, large, NOW) is large


def test_where_one_says_nothing_our_own_requests_decide() -> None:
    silent, full = server(held=3), server(10, 9, held=1)
    assert less_loaded(silent, full, NOW) is full


def test_all_servers_are_in_the_order_once_and_the_rest_by_load() -> None:
    servers = [server(10, used) for used in (9, 3, 6, 0)]
    for seed in range(50):
        found = order(servers, NOW, random.Random(seed).random)
        assert sorted(map(id, found)) == sorted(map(id, servers))
        rest = [each.stats.used for each in found[1:]]
        assert rest == sorted(rest)
    assert order([], NOW, random.random) == []
    assert order(servers[:1], NOW, random.random) == servers[:1]


def test_a_chance_of_one_stays_within_the_list() -> None:
    servers = [server(), server(), server()]
    assert len(order(servers, NOW, lambda: 1.0)) == 3


@pytest.mark.parametrize("capacity", [None, 1000])
def test_a_burst_spreads_although_nothing_is_read_between(capacity: int | None) -> None:
    chance = random.Random(20).random
    servers = [server(capacity) for _ in range(5)]
    for _ in range(1000):
        order(servers, NOW, chance)[0].held += 1
    # A fifth is 200. Choosing at random would leave a spread of about 60, this leaves a handful.
    assert max(each.held for each in servers) <= 220
    assert min(each.held for each in servers) >= 180


def test_the_server_that_was_full_before_gets_least() -> None:
    chance = random.Random(7).random
    servers = [server(100, 80), server(100, 20), server(100, 20)]
    for _ in range(60):
        order(servers, NOW, chance)[0].held += 1
    assert servers[0].held < 10


def test_many_proxies_do_not_all_choose_the_server_that_was_emptiest() -> None:
    chance = random.Random(3).random
    first = [0, 0, 0, 0]
    for _ in range(400):  # each a proxy of its own with the same statistics
        servers = [server(100, used) for used in (10, 11, 12, 13)]
        first[servers.index(order(servers, NOW, chance)[0])] += 1
    assert max(first) < 300


def test_of_servers_that_were_just_revived_one_is_tried_for_each_request_and_the_others_stay_behind() -> None:
    revived, healthy = [server(), server(), server()], server()
    for each in revived:
        each.circuit.state = State.HALF_OPEN
    chance = random.Random(5).random
    first = [candidates([[*revived, healthy]], NOW, chance)[0] for _ in range(4)]
    assert set(map(id, first[:3])) == set(map(id, revived)), "each one's trial"
    assert first[3] is healthy


def test_an_open_circuit_is_no_candidate_also_if_its_server_is_full() -> None:
    broken = server(8, 8)
    broken.circuit.state = State.OPEN
    broken.circuit._due = NOW + 1
    assert candidates([[broken]], NOW, random.random) == []
