"""Looks up what was ever published under the paths of one repository."""

from collections.abc import Iterator, Mapping

from packrat_agent.state.published import LiveFiles


class PublishedNames(Mapping[str, str]):
    """Maps path → the SHA-256 that was ever published under it; reads nothing before it is asked."""

    def __init__(self, live: LiveFiles, repo_directory: str) -> None:
        self._live = live
        self._directory = repo_directory

    def __getitem__(self, path: str) -> str:
        return self._live.published_names(self._directory, (path,))[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._live.published_names(self._directory))

    def __len__(self) -> int:
        return len(self._live.published_names(self._directory))
