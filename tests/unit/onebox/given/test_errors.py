import errno

from onebox.given.errors import not_reached, one_line


def test_what_the_operating_system_says_is_one_sentence() -> None:
    assert str(not_reached("h:1", ConnectionRefusedError(errno.ECONNREFUSED, "x"))).startswith(
        "nothing listens on h:1."
    )
    assert "No route to host" in str(not_reached("h:1", OSError(errno.EHOSTUNREACH, "x")))
    assert "no connection to h:1: TLS is broken. " in str(not_reached("h:1", ValueError("TLS is\n broken.")))


def test_a_text_is_one_line_and_short() -> None:
    assert one_line(ValueError("a\n  b" + "c" * 500)).startswith("a bc")
    assert len(one_line(ValueError("c" * 500))) == 200
    assert one_line(ValueError()) == "ValueError"
