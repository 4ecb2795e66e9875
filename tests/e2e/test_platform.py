"""The running platform as an operator meets it: reported as running, restarted when it crashes."""

from tests.e2e.box import Box, StartBox, run_once


def test_a_second_start_says_that_one_runs_and_where(platform: Box, start: StartBox) -> None:
    second = start(data=platform.data)
    # The shared box's own output file is used by both: the second one's words are its last.
    assert second.process.wait(120) == 1
    assert f"The onebox is running already: process {platform.process.pid}" in second.said
    assert platform.state["address"] in second.said


def test_status_says_where_it_runs(platform: Box) -> None:
    running = run_once(["-m", "onebox", "--data", str(platform.data), "status"])
    assert running.returncode == 0
    assert platform.state["address"] in running.stdout


def test_a_crashed_service_is_started_again(platform: Box) -> None:
    # A killed sqs_updater would leave its long poll open at the queue: what that is handed stays hidden for the
    # visibility timeout, and the next test's bill would be that late. The frontend owes nobody anything.
    platform.kill("frontend")
    platform.wait_back("frontend")
    assert "frontend ended unexpectedly (killed by SIGKILL); starting it again" in platform.said
