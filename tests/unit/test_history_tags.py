from immutables import Map

from farm.history import builds
from farm.history.build_history import BuildHistory
from farm.history.builds import MAX_OPEN, Ledger, tagged
from farm.history.runs import MAX_TAG, QUIET_SECONDS
from tests.unit.history_jobs import START
from tests.unit.test_history_builds import job

WS01 = ("ws01", "10.0.0.1")


def test_the_open_build_of_a_submitter_gets_the_tag() -> None:
    ledger = builds.ended(builds.ended(Ledger(), job(1)), job(2, "ws02"))
    ledger = tagged(ledger, "ws01", "make all", START + 1)
    assert {key[0]: burst.build.tag for key, burst in ledger.open.items()} == {"ws01": "make all", "ws02": ""}
    assert builds.ended(ledger, job(3, ended=START + 2)).open[WS01].build.tag == "make all"


def test_two_at_once_are_both_named_once() -> None:
    ledger = builds.ended(Ledger(), job(1))
    for text in ("make all", "ninja", "make all"):
        ledger = tagged(ledger, "ws01", text, START)
    assert ledger.open[WS01].build.tag == "make all; ninja"


def test_a_tag_may_come_before_the_news_of_the_first_job() -> None:
    ledger = tagged(Ledger(), "ws01", "make", START)
    ledger = builds.ended(ledger, job(1, ended=START + 1))
    assert (ledger.open[WS01].build.tag, ledger.tags) == ("make", Map())


def test_a_tag_is_not_for_a_build_that_is_over_or_comes_much_later() -> None:
    late = START + QUIET_SECONDS + 2
    ledger = tagged(builds.ended(Ledger(), job(1)), "ws01", "make", late)
    assert ledger.open[WS01].build.tag == ""
    ledger = builds.ended(ledger, job(2, ended=late + QUIET_SECONDS + 2))
    assert ledger.open[WS01].build.tag == ""


def test_tags_are_bounded_and_clean() -> None:
    ledger = Ledger()
    for number in range(MAX_OPEN + 5):
        ledger = tagged(ledger, f"ws{number}", "make", START + number)
    assert len(ledger.tags) == MAX_OPEN
    assert "ws0" not in ledger.tags
    ledger = tagged(builds.ended(Ledger(), job(1)), "ws01", "\x1b[2Jmake\n" + "x" * 500, START)
    tag = ledger.open[WS01].build.tag
    assert tag.startswith("[2Jmake x")
    assert len(tag) <= MAX_TAG
    for number in range(50):
        ledger = tagged(ledger, "ws01", f"{number} " + "x" * 50, START)
    assert len(ledger.open[WS01].build.tag) == MAX_TAG


def test_the_history_knows_the_tag() -> None:
    history = BuildHistory(None)
    history.tag("ws01", "make")
    assert history.builds() == []
    history.close()
