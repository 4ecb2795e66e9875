"""No regular expression of the code takes more than linear time, whatever text it is given.

Constraints of pydantic's models (`pattern=`) are matched by its own engine, Rust's `regex`, which never backtracks and
so is linear by construction; a test below holds that nobody chooses another engine.
"""

import re
from pathlib import Path

import pytest

from aldea_infra import routing
from tests.support.regexes import ROOT, Found, Unknown, expressions, files, foreign_engines, slow_text

# Each process of tests collects all of them: what takes long, parsing the code, is left to the tests themselves.
FILES = list(files())
# Expressions that are made while the program runs, and why that is good: the load balancer's patterns are tested below
# for all that the table holds; AWS's own, and the names of alarms, of resources and of actions in our IAM
# documents, are applied to our own configuration alone, which no stranger writes.
MADE_LATER = {
    "infra/aldea_infra/routing.py",
    "infra/aldea_infra/checks/alarms.py",
    "infra/aldea_infra/checks/aws_models.py",
    "infra/aldea_infra/checks/aws_ranges.py",
    "infra/aldea_infra/checks/documents.py",
    "infra/aldea_infra/offline/references.py",
}


@pytest.fixture(scope="module")
def every() -> list[Found | Unknown]:
    return [found for root, path in FILES for found in expressions(root, path)]


def test_every_expression_of_the_code_is_known(every: list[Found | Unknown]) -> None:
    assert len([each for each in every if isinstance(each, Found)]) > 25
    later = {each.place.partition(":")[0]: each for each in every if isinstance(each, Unknown)}
    assert later.keys() == MADE_LATER, f"say here what these expressions are: {later}"
    assert foreign_engines() == []


@pytest.mark.parametrize("file", [str(path.relative_to(ROOT)) for _, path in FILES])
def test_an_expression_takes_linear_time(file: str, every: list[Found | Unknown]) -> None:
    here = [each for each in every if isinstance(each, Found) and each.place.startswith(f"{file}:")]
    slow = {(each.place, each.pattern.pattern): slow_text(each.pattern, scans=each.scans) for each in here}
    assert not any(slow.values()), slow


def test_no_group_is_repeated_possessively(every: list[Found | Unknown]) -> None:
    """Python before 3.11.5 matches such a group where it should not (CPython issue 106052); Debian 12 has 3.11.2."""
    group = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+|\(\?>")
    texts = {each.place: each.pattern.pattern for each in every if isinstance(each, Found)}
    found = {place: text if isinstance(text, str) else text.decode("latin-1") for place, text in texts.items()}
    without_sets = {place: re.sub(r"\[(?:\\.|[^\]])*\]", "", text) for place, text in found.items()}
    assert [place for place, text in without_sets.items() if group.search(text)] == []


@pytest.mark.parametrize(
    "pattern",
    sorted(
        {
            pattern
            for rule in routing.rules(routing.Hosts(api="a.example", backend="b.example", platform="p.example"))
            for pattern in (*(rule.hosts or ()), *(rule.paths or ()), *(rule.header.values if rule.header else ()))
        }
    ),
)
def test_a_load_balancer_pattern_takes_linear_time(pattern: str) -> None:
    routing.wildcard_match(pattern, "")
    assert slow_text(routing._compiled(pattern, False), scans=False) is None


def test_models_keep_to_the_engine_that_is_linear() -> None:
    for path in [*(ROOT / "services").rglob("*.py"), *(ROOT / "infra").rglob("*.py"), *(ROOT / "onebox").rglob("*.py")]:
        assert "regex_engine" not in Path(path).read_text(), path


# The test of the test: expressions that were in this code, and those that textbooks warn of.
@pytest.mark.parametrize(
    "expression",
    [
        r"(?P<own>\b(?:org|ats|sess)_[A-Za-z0-9_-]{6,})|(?P<url>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s\"']+(?=@)",
        r"\b[a-z][a-z0-9+.-]*://[^\s:/@]*:[^\s\"']+(?=@)",
        "([,;\t\r\n]\\s*)([=+\\-@\uff1d\uff0b\uff0d\uff20])",
        r"\s+$",
        r"[ \t]+\n",
        r"(a+)+b",
        r"(a|a)*b",
        r"(?:a*)*c",
        r"([a-z0-9]+\.)+com$",
        rb"<[^>]*>!",
        r"^(\w+\s?)*$",
        r"a.*b.*c",
    ],
)
def test_an_expression_that_is_not_linear_is_found(expression: str | bytes) -> None:
    assert slow_text(re.compile(expression), scans=True) is not None


@pytest.mark.parametrize(
    "expression",
    [r"(?<!\s)\s+$", r"[a-z]{1,250}!", r"a|b|[^c]+", r"\d{4}-\d{2}", r'"[^"]*"x', rb"[^\n]+", r"(?s:.*)", r"x*y?z"],
)
def test_an_expression_that_is_linear_is_let_through(expression: str | bytes) -> None:
    assert slow_text(re.compile(expression), scans=not isinstance(expression, str) or "*y" not in expression) is None


def test_what_is_only_tried_at_the_beginning_may_be_slow_elsewhere() -> None:
    assert slow_text(re.compile(r"\s+x"), scans=True) is not None
    assert slow_text(re.compile(r"\s+x"), scans=False) is None
