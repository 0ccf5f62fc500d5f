"""How long earlier indexes and package files stay where the clock of the machine is wrong, or jumps."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from packrat_agent.model.changes import Retention
from packrat_agent.model.tree import LiveFile
from packrat_agent.state.facts import SteadyTime
from packrat_agent.state.steady_clock import SteadyClock
from packrat_agent.state.store import Store
from support.generations import collect_garbage, publish, publish_files

HOUR_S = 3600.0
DAY_S = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "state.db")


def test_a_clock_that_stood_in_the_future_keeps_nothing_for_ever(store: Store) -> None:
    first = [LiveFile("apt-dev/index1", "s", "a" * 64, 1), LiveFile("apt-dev/pool/x", "", "b" * 64, 1)]
    publish_files(store, 5e9, first)
    publish(store, 5e9 + 1, ["index2"], ("apt-dev/pool/x",))
    assert collect_garbage(store, 1000.0, Retention(10, 10, 0)) == []
    assert collect_garbage(store, 1011.0, Retention(10, 10, 0)) == ["apt-dev/index1", "apt-dev/pool/x"]


YEAR_S = 365 * DAY_S


@pytest.mark.parametrize("boots", [False, True], ids=["it runs", "it starts again"])
@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S, 6 * HOUR_S, -6 * HOUR_S])
def test_a_clock_that_jumps_neither_ends_a_period_early_nor_stretches_it(
    store: Store, jump_s: float, boots: bool
) -> None:
    rule, machine = Retention(HOUR_S, 4 * HOUR_S, 0), SimpleNamespace(boot="a", running=1000.0, wall=1.8e9)
    clock = SteadyClock(store.facts, lambda: SteadyTime(None, machine.boot, machine.running, machine.wall))

    def collect_after(seconds: float) -> list[str]:
        machine.running += seconds
        machine.wall += seconds
        store.generations.follow_clock(machine.wall, clock, store.facts)
        return collect_garbage(store, machine.wall, rule)

    first = [LiveFile("apt-dev/index1", "s", "a" * 64, 1), LiveFile("apt-dev/pool/x", "", "b" * 64, 1)]
    publish_files(store, machine.wall, first)
    assert collect_after(1.0) == []
    publish(store, machine.wall, ["index2"], ("apt-dev/pool/x",))
    assert collect_after(HOUR_S) == []
    machine.wall += jump_s
    assert collect_after(HOUR_S) == []
    # Somebody sets it right.
    machine.wall -= jump_s
    if boots:
        machine.boot, machine.running = "b", 5.0
    # While the machine was off, nothing but the time of day says for how long.
    assert collect_after(HOUR_S) == ([] if not boots or jump_s > 0 else ["apt-dev/index1", "apt-dev/pool/x"])
    if not boots:
        assert collect_after(1.1 * HOUR_S) == ["apt-dev/index1", "apt-dev/pool/x"]


class Machine:
    """A machine with an agent that looks after its files."""

    def __init__(self, store: Store) -> None:
        self.store, self.boot, self.running, self.wall = store, "a", 1000.0, 1.8e9
        self.clock = SteadyClock(store.facts, lambda: SteadyTime(None, self.boot, self.running, self.wall))

    def wait(self, seconds: float) -> None:
        self.running += seconds
        self.wall += seconds

    def collect(self) -> list[str]:
        self.store.generations.follow_clock(self.wall, self.clock, self.store.facts)
        return collect_garbage(self.store, self.wall, Retention(HOUR_S, 4 * HOUR_S, 0))


@pytest.fixture
def machine(store: Store) -> Machine:
    machine = Machine(store)
    publish_files(
        store, machine.wall, [LiveFile("apt-dev/index1", "s", "a" * 64, 1), LiveFile("apt-dev/pool/x", "", "b" * 64, 1)]
    )
    assert machine.collect() == []
    machine.wait(60.0)
    return machine


@pytest.mark.parametrize("was_ahead", [False, True])
def test_a_file_withdrawn_just_after_the_clock_jumped_back_stays(machine: Machine, was_ahead: bool) -> None:
    if was_ahead:
        machine.wall += 8 * HOUR_S
        assert machine.collect() == []
    machine.wall -= 8 * HOUR_S
    machine.wait(30.0)
    publish(machine.store, machine.wall, ["index2"], ("apt-dev/pool/x",))
    machine.wait(1.0)
    assert machine.collect() == []
    machine.wait(0.9 * HOUR_S)
    assert machine.collect() == []
    machine.wait(4 * HOUR_S)
    assert machine.collect() == ["apt-dev/index1", "apt-dev/pool/x"]


def test_a_clock_that_was_ahead_when_the_machine_started_takes_nothing_away(machine: Machine) -> None:
    publish(machine.store, machine.wall, ["index2"], ("apt-dev/pool/x",))
    assert machine.collect() == []
    # As where the clock of the machine is of a time zone, until it is set over the network.
    machine.boot, machine.running, machine.wall = "b", 20.0, machine.wall + 8 * HOUR_S + 120.0
    machine.store.generations.follow_clock(machine.wall, machine.clock, machine.store.facts)
    machine.wait(120.0)
    machine.wall -= 8 * HOUR_S
    assert machine.collect() == []
    machine.wait(0.9 * HOUR_S)
    assert machine.collect() == []
    machine.wait(4 * HOUR_S)
    assert machine.collect() == ["apt-dev/index1", "apt-dev/pool/x"]


def test_clocks_that_go_to_and_fro_keep_nothing_for_ever(machine: Machine) -> None:
    publish(machine.store, machine.wall, ["index2"], ("apt-dev/pool/x",))
    for turn in range(1, 8):
        machine.wait(0.5 * HOUR_S)
        machine.wall += (-6 if turn % 2 else 6) * HOUR_S
        assert machine.collect() == []
    machine.wait(0.6 * HOUR_S)
    assert machine.collect() == ["apt-dev/index1", "apt-dev/pool/x"]
