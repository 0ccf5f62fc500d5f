"""Opens the state database for its one writer, with an object for each concern, all on one connection."""

from pathlib import Path

from packrat_agent.model.records import Repo
from packrat_agent.state.chunks import Chunks
from packrat_agent.state.database import Database
from packrat_agent.state.events import Events
from packrat_agent.state.fact_table import Facts
from packrat_agent.state.fragments import Fragments, FragmentSource
from packrat_agent.state.generations import Generations
from packrat_agent.state.index_digests import IndexDigests
from packrat_agent.state.intents import Intents
from packrat_agent.state.known_tags import KnownTags
from packrat_agent.state.listed_uris import Listing
from packrat_agent.state.live_entries import LiveEntries
from packrat_agent.state.packages import WantedFiles
from packrat_agent.state.publications import Publications
from packrat_agent.state.published import LiveFiles
from packrat_agent.state.published_names import PublishedNames
from packrat_agent.state.record_reads import RecordReads
from packrat_agent.state.rejections import Rejections
from packrat_agent.state.removals import Removals
from packrat_agent.state.repos import Repos
from packrat_agent.state.revisions import Revisions
from packrat_agent.state.scanned import ScannedFiles
from packrat_agent.state.scratch import Scratch
from packrat_agent.state.settled import find_open_packages, find_unplaced, has_unwanted
from packrat_agent.state.steady_clock import SteadyClock


class Store:
    """Opens the state database; every method of its parts is one transaction and may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._db = Database(path)
        self._directory = path.parent
        self.revisions = Revisions()
        self.repos = Repos(self._db, self.revisions)
        self.wanted = WantedFiles(self._db)
        self.known_tags = KnownTags(self._db)
        self.fragments = Fragments(self._db)
        self.generations = Generations(self._db)
        self.publications = Publications(self._db, self.generations)
        self.published_names = PublishedNames(self._db)
        self.index_digests = IndexDigests(self._db)
        self.live = LiveFiles(self._db, self.revisions, self.publications, self.published_names, self.index_digests)
        self.scanned = ScannedFiles(self._db)
        self.intents = Intents(self._db, self.live)
        self.rejections = Rejections(self._db)
        self.chunks = Chunks(self._db)
        self.facts = Facts(self._db)
        self.events = Events(self._db)
        self.removals = Removals(self._db, SteadyClock(self.facts))
        self.record_reads = RecordReads(self._db, self.facts)
        self.scratch = Scratch(path.parent)

    def live_entries(self, repo: Repo, source: FragmentSource) -> LiveEntries:
        """Give access to what the published index of a repository names."""
        return LiveEntries(self._db, repo, source)

    def open_packages(self, repo: str, source: FragmentSource) -> list[str]:
        """Name the packages of a repository with files that are not settled, for a source of fragments."""
        return find_open_packages(self._db, repo, source)

    def has_unwanted(self, repo: str, source: FragmentSource) -> bool:
        """Tell whether other package files may be on disk than wanted ones, where all of these are settled."""
        return has_unwanted(self._db, repo, source)

    def unplaced(self, repo: str, source: FragmentSource) -> list[str]:
        """List the paths of package files in place that no wanted file has as its own, without withdrawn ones."""
        return find_unplaced(self._db, repo, source)

    def new_listing(self) -> Listing:
        """Give an empty list for URIs of the server; a long one takes its room beside the state database."""
        return Listing(self._directory)

    def close(self) -> None:
        """Close the database."""
        self._db.close()
