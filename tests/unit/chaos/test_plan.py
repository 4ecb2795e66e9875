from tests.chaos.plan import MISBEHAVIOUR, NEVER_KILLED, deck, long, plan, short

TARGETS = ("redis-1", "sqs", "postgres", "ws_proxy-1", "backend-1")


def test_the_same_seed_draws_the_same_faults_and_another_one_others() -> None:
    assert plan(long(1, 3), TARGETS) == plan(long(1, 3), TARGETS)
    assert plan(long(1, 3), TARGETS) != plan(long(2, 3), TARGETS)


def test_every_fault_comes_before_any_comes_again_and_all_within_the_run() -> None:
    scale = long(1, 10)
    faults = plan(scale, TARGETS)
    whole = deck(TARGETS)
    assert {(fault.kind, fault.target) for fault in faults[: len(whole)]} == set(whole)
    assert all(fault.at < scale.seconds for fault in faults)
    assert all(fault.lasts <= scale.longest_fault for fault in faults)


def test_a_run_begins_with_a_failover_however_short_it_is() -> None:
    for seed in range(5):
        assert plan(short(seed), TARGETS)[0].kind == "fail over"


def test_the_emulator_that_would_forget_its_messages_is_never_killed() -> None:
    kinds = {kind for kind, target in deck(TARGETS) if target in NEVER_KILLED}
    assert kinds == {"cut", "pause", "restart"}


def test_only_a_stand_in_for_an_engine_can_be_made_to_misbehave() -> None:
    found = deck((*TARGETS, "engine-1"))
    assert {target for kind, target in found if kind in MISBEHAVIOUR} == {"engine-1"}
    assert {kind for kind, target in found if target == "engine-1"} >= {"kill", "pause", "restart", *MISBEHAVIOUR}


def test_checkpoints_come_often_in_a_leases_life() -> None:
    assert short(1).renew * 3 <= short(1).lease_ttl
