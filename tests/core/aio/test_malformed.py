"""Many requests that are not HTTP make a few lines a minute in the log, which count the others."""

from structlog.testing import capture_logs

from packrat_core.aio.malformed import LINES_A_MINUTE, MalformedRequests


def test_a_flood_of_malformed_requests_is_no_flood_of_the_log() -> None:
    now = [1000.0]
    requests = MalformedRequests(lambda: now[0])
    with capture_logs() as logged:
        for _ in range(LINES_A_MINUTE + 500):
            requests.log("192.0.2.1")
        assert len(logged) == LINES_A_MINUTE
        now[0] += 59
        requests.log(None)
        assert len(logged) == LINES_A_MINUTE
        now[0] += 1
        requests.log("192.0.2.2")
        requests.log("192.0.2.3")
    assert [(line["address"], line.get("more")) for line in logged[LINES_A_MINUTE:]] == [
        ("192.0.2.2", 501),
        ("192.0.2.3", None),
    ]
