"""docs/reference.md is what the code says."""

from support.reference import PAGE, write_reference


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == write_reference(), "run `make reference`"


def test_the_reference_lists_log_words_metrics_and_settings() -> None:
    page = write_reference()
    for row in (
        "| `published` | info |",
        "| `waiting` | error |",
        "| `packrat_agent_repo_lag_seconds` | `repo` | Age of",
        "| 7 | The operator must free space",
        "| `[mirror]` | [`keep_generations`](configuration.md#keep_generations) | `3` |",
    ):
        assert f"\n{row}" in page
