"""Side by side where a GPU records; here one after the other, and with stand-ins for streams in the right order."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch

from pipeline.models import directions
from pipeline.models.directions import for_each


def test_without_a_recording_one_comes_after_the_other() -> None:
    made: list[int] = []
    assert for_each(made.append, (1,), (2,)) == [None, None]
    assert made == [1, 2]


@dataclass
class Stream:
    """A stand-in that notes what happens on it."""

    name: str
    log: list[str] = field(default_factory=list)

    def wait_stream(self, other: "Stream") -> None:
        self.log.append(f"{self.name} waits for {other.name}")


@dataclass
class Devices:
    """What the functions see of torch's streams."""

    log: list[str]
    current: Stream


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Devices:
    log: list[str] = []
    devices = Devices(log, Stream("own", log))
    made = [Stream(f"side {number}", log) for number in range(2)]

    @contextmanager
    def on(stream: Stream) -> Iterator[None]:
        before, devices.current = devices.current, stream
        yield
        devices.current = before

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: devices.current)
    monkeypatch.setattr(torch.cuda, "stream", on)
    monkeypatch.setattr(directions, "_stream", made.__getitem__)
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda tensor, stream: log.append(f"{tensor.item():.0f} is held for {stream.name}")
    )
    return devices


def test_others_wait_for_what_is_given_and_are_waited_for(recorded: Devices) -> None:
    def work(number: int, given: tuple[torch.Tensor, None]) -> dict[str, tuple[torch.Tensor, None]]:
        recorded.log.append(f"{number} is made on {recorded.current.name}")
        return {"made": (torch.tensor(float(number)), None)}

    results = for_each(work, *((number, (torch.tensor(float(-number)), None)) for number in (1, 2, 3)))
    assert [result["made"][0].item() for result in results] == [1, 2, 3]
    assert recorded.log == [
        "side 0 waits for own",
        "-2 is held for side 0",
        "side 1 waits for own",
        "-3 is held for side 1",
        "1 is made on own",
        "2 is made on side 0",
        "3 is made on side 1",
        "own waits for side 0",
        "2 is held for own",
        "own waits for side 1",
        "3 is held for own",
    ]
