from aldea.objectives import FIRST_WORDS, HANDSHAKES


def test_an_objective_says_what_it_promises_and_how_much_may_be_bad() -> None:
    assert HANDSHAKES.promise == "99.9 % succeed"
    assert FIRST_WORDS.promise == "95 % within 4 s"
    assert round(HANDSHAKES.budget, 6) == 0.001
