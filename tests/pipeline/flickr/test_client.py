"""The client: what is tried again, what is final, and what nobody may ever read in a message."""

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import flickrapi
import flickrapi.auth
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from pipeline.emulators.faults import FaultPlan
from pipeline.emulators.flickr import Emulator
from pipeline.errors import FlickrError, FlickrRefused, FlickrUnreachable
from pipeline.flickr.client import Failure, FlickrClient, RefusedCall, may_be_retried
from pipeline.operations.emulated_flickr import free_ports
from pipeline.sources.budget import CallBudget
from pipeline.web.manners import Patience, user_agent, wait_s
from tests.pipeline.flickr.worlds import BEGIN_S, KEY, SECRET, client_of, collection_photo

PHOTOS = [collection_photo(number, BEGIN_S + number) for number in range(3)]
UNAVAILABLE = "Sorry, the Flickr API service is not currently available."


def faulty(**api: float) -> FaultPlan:
    return FaultPlan.model_validate({"api": api})


# What is tried again ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "again"),
    [
        (Failure("no connection"), True),
        (Failure("broken JSON"), True),
        (Failure("", status=429), True),
        (Failure("", status=408), True),
        (Failure("", status=500), True),
        (Failure("", status=503), True),
        (Failure("", status=400), False),
        (Failure("", status=401), False),
        (Failure("", status=403), False),
        (Failure("", status=404), False),
        (Failure("", code=105, message="Service currently unavailable"), True),
        (Failure("", code=201, message=UNAVAILABLE), True),
        (Failure("", code=0, message=UNAVAILABLE), True),
        (Failure("", code=0, message="Something else"), False),
        (Failure("", code=10, message="Sorry, the search API is down"), True),
        (Failure("", code=1, message="Photo not found"), False),
        (Failure("", code=2, message="Permission denied"), False),
        (Failure("", code=3, message="Parameterless searches have been disabled"), False),
        (Failure("", code=100, message="Invalid API Key"), False),
        (Failure("", code=111, message="Format not found"), False),
        (Failure("", code=112, message="Method not found"), False),
        (Failure("", code=116, message="Bad URL found"), False),
    ],
)
def test_what_is_tried_again(failure: Failure, again: bool) -> None:
    assert may_be_retried(failure) is again


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=5, max_size=5))
def test_five_retries_wait_half_a_minute_at_most(chances: list[float]) -> None:
    waits_s = [wait_s(attempt, chance) for attempt, chance in enumerate(chances)]
    assert all(wait > 0 for wait in waits_s)
    assert sum(waits_s) <= 30


def test_waits_grow_and_stay_bounded() -> None:
    assert [wait_s(attempt, 0.5) for attempt in (0, 1, 2)] == [0.5, 1.0, 2.0]
    assert wait_s(10**6, 0.99) <= 90


@pytest.mark.parametrize("fault", ["http_429", "http_5xx", "error_201", "html", "broken_json"])
def test_a_passing_fault_is_waited_out(fault: str) -> None:
    plan = FaultPlan.model_validate({"seed": 1, "api": {fault: 0.7}})
    with Emulator(PHOTOS, plan) as emulator:
        client = client_of(emulator, retries=50)
        for _ in range(3):
            assert client.license_names()["4"] == "CC BY 2.0"
        assert emulator.faulted[fault] == client.retried > 0
        assert client.calls == client.retried + 3


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("http_429", "HTTP 429 Too Many Requests"),
        ("http_5xx", "HTTP 50"),
        ("error_201", "not currently available"),
        ("html", "an answer that cannot be read ('<!DOCTYPE html>"),
    ],
)
def test_a_fault_that_stays_says_what_was_seen(fault: str, seen: str) -> None:
    with Emulator(PHOTOS, faulty(**{fault: 1.0})) as emulator:
        with pytest.raises(FlickrUnreachable) as caught:
            client_of(emulator, retries=2).license_names()
        assert emulator.calls.total() == 3
        assert seen in str(caught.value)
        assert emulator.endpoint in str(caught.value)
        assert "in 3 tries" in str(caught.value)


def test_nobody_at_the_endpoint_is_told_within_half_a_minute() -> None:
    endpoint = f"http://127.0.0.1:{free_ports(1)[0]}/services/rest/"
    slept: list[float] = []
    with pytest.raises(FlickrUnreachable, match="connection refused") as caught:
        FlickrClient(KEY, SECRET, endpoint=endpoint, patience=Patience(sleep=slept.append)).check_key()
    assert endpoint in str(caught.value)
    assert len(slept) == 5
    assert sum(slept) <= 30


def test_a_slow_answer_runs_into_the_time_out() -> None:
    plan = faulty(slow=1.0, slow_s=30)
    with Emulator(PHOTOS, plan) as emulator, pytest.raises(FlickrUnreachable, match=r"no answer within 0\.1 s"):
        client_of(emulator, timeout_s=0.1, retries=0).license_names()


def test_an_endpoint_whose_name_leads_inwards_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """One private address among public ones is enough: which is used would be chance."""
    for found in (["127.0.0.1"], ["8.8.8.8", "::ffff:10.0.0.1"], ["2001:0:7f00:1::"]):
        entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in found]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, entries=entries, **__: entries)
        client = FlickrClient(KEY, SECRET, endpoint="https://api.example.org/", retries=0)
        monkeypatch.setattr(client, "_api", unproxied(client._api))
        with pytest.raises(FlickrUnreachable, match="not an address of the public internet"):
            client.check_key()


def unproxied(make: Callable[[], flickrapi.FlickrAPI]) -> Callable[[], flickrapi.FlickrAPI]:
    """The same without the proxies of this environment, which look names up themselves."""

    def made() -> flickrapi.FlickrAPI:
        api = make()
        api.flickr_oauth.session.trust_env = False
        return api

    return made


# What is final -------------------------------------------------------------------------------------------


def test_a_refused_key_says_what_to_do() -> None:
    with Emulator(PHOTOS, valid_keys={"another"}) as emulator:
        with pytest.raises(FlickrRefused) as caught:
            client_of(emulator).check_key()
        assert emulator.calls.total() == 1
    for needed in ("FLICKR_API_KEY", "FLICKR_API_SECRET", "https://www.flickr.com/services/apps/create/", "Key not found"):
        assert needed in str(caught.value)


def test_a_key_that_works() -> None:
    with Emulator(PHOTOS, valid_keys={KEY}) as emulator:
        client_of(emulator).check_key()
        assert emulator.calls == {"flickr.photos.licenses.getInfo": 1}


def test_a_malformed_call_is_final_and_carries_its_code() -> None:
    with Emulator(PHOTOS) as emulator, pytest.raises(RefusedCall, match="Parameterless") as caught:
        client_of(emulator).search({}, begin_s=BEGIN_S, end_s=BEGIN_S + 9)
    assert caught.value.code == 3


def test_an_unknown_brand_is_no_error() -> None:
    with Emulator(PHOTOS) as emulator:
        client = client_of(emulator)
        assert client.camera_models("nobody") is None
        assert "iphone_7" in [model.id for model in client.camera_models("apple") or []]
        assert "apple" in [brand.id for brand in client.camera_brands()]
        calls = client.calls
        client.camera_models("nobody")
        client.camera_models("apple")
        client.camera_brands()
        assert client.calls == calls


def test_a_photo_that_is_not_shown_is_none() -> None:
    """Deleted and private photos are refused with error 1 or 2; what else is wrong stays an error."""
    with Emulator(PHOTOS) as emulator:
        client = client_of(emulator)
        found = client.photo_info(PHOTOS[0].id)
        assert found is not None
        assert (found.id, found.license, found.is_public) == (PHOTOS[0].id, "4", True)
        emulator.collection.change(PHOTOS[0].id, vanished=True)
        assert client.photo_info(PHOTOS[0].id) is None
        assert client.photo_info("1") is None
    with Emulator(PHOTOS, valid_keys=["other"]) as emulator, pytest.raises(FlickrRefused, match="FLICKR_API_KEY"):
        client_of(emulator).photo_info(PHOTOS[1].id)


def test_nothing_is_written_into_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own store of tokens is a database there, unless it is told not to."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with Emulator(PHOTOS) as emulator:
        client_of(emulator).check_key()
    assert not list(tmp_path.rglob("*"))


# Searching, threads, budget -----------------------------------------------------------------------------


def test_a_search_gives_records_oldest_first() -> None:
    with Emulator(PHOTOS) as emulator:
        page = client_of(emulator).search({"text": "portrait"}, begin_s=BEGIN_S + 1, end_s=BEGIN_S + 2)
    assert page.total == 2
    assert [photo.date_upload_s for photo in page.photos] == [BEGIN_S + 1, BEGIN_S + 2]
    assert page.photos[0].license == "4"
    assert page.photos[0].sizes[-1].suffix == "o"


def test_every_try_is_paid_from_the_budget(tmp_path: Path) -> None:
    budget = CallBudget(tmp_path, KEY, 100)
    with Emulator(PHOTOS, faulty(http_429=1.0)) as emulator, pytest.raises(FlickrUnreachable):
        client_of(emulator, retries=3, budget=budget).license_names()
    assert budget.left() == 96


def test_threads_have_sessions_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    sessions = set()
    with Emulator(PHOTOS) as emulator:
        client = client_of(emulator)

        def work() -> None:
            client.license_names()
            client.license_names()
            sessions.add(client._api().flickr_oauth.session)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.calls == emulator.calls.total() == 8
    assert len(sessions) == 4
    assert flickrapi.auth.OAuthFlickrInterface.session not in sessions
    assert list(tmp_path.iterdir()) == []


def test_the_user_agent_names_program_and_contact() -> None:
    with Emulator(PHOTOS) as emulator:
        client_of(emulator, contact="lab@example.org").license_names()
        assert emulator.requests[-1].user_agent == user_agent("lab@example.org")
    assert user_agent("lab@example.org").startswith("bokehflow/")
    assert user_agent("lab@example.org").endswith(" (lab@example.org)")
    assert user_agent("a\r\nb: c☃") == user_agent("ab: c")


# Secrecy ---------------------------------------------------------------------------------------------------


def test_no_key_or_secret_in_any_message_log_or_request(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[FlickrError] = []
    plan = faulty(http_429=0.3, html=0.1, error_201=0.2)
    with Emulator(PHOTOS, plan, valid_keys={KEY}) as emulator:
        client = client_of(emulator)
        client.search({"text": "portrait"}, begin_s=BEGIN_S, end_s=BEGIN_S + 9)
        for key in (KEY, f"{KEY}0"):
            other = FlickrClient(key, SECRET, endpoint=emulator.endpoint, patience=Patience(retries=0))
            for _ in range(10):
                try:
                    other.license_names()
                except FlickrError as error:
                    errors.append(error)
        requests_seen = repr(list(emulator.requests))
    with pytest.raises(FlickrUnreachable) as caught:
        client.license_names()
    said = "\n".join([caplog.text, repr(client), requests_seen, str(caught.value), *map(str, errors)])
    assert {type(error) for error in errors} == {RefusedCall, FlickrUnreachable}
    assert "flickr.photos.licenses.getInfo" in requests_seen
    assert "try 2 follows" in caplog.text
    assert KEY not in said
    assert SECRET not in said


@pytest.mark.parametrize("status", [200, 401])
def test_an_answer_that_quotes_the_key_is_not_passed_on(
    status: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    quoting = requests.Response()
    quoting.status_code = status
    quoting._content = f"oauth_problem=signature_invalid&debug_sbs=POST&oauth_consumer_key={KEY}&{SECRET}".encode()
    patience = Patience(retries=0, sleep=lambda delay_s: None)
    client = FlickrClient(KEY, SECRET, endpoint="http://127.0.0.1:9/", patience=patience)
    session = client._api().flickr_oauth.session

    def answer(*arguments: object, **named: object) -> requests.Response:
        for hook in session.hooks["response"]:
            hook(quoting)
        return quoting

    monkeypatch.setattr(session, "post", answer)
    with pytest.raises(FlickrError) as caught:
        client.license_names()
    assert isinstance(caught.value, FlickrRefused) == (status == 401)
    assert KEY not in str(caught.value) + caplog.text
    assert SECRET not in str(caught.value) + caplog.text
