"""The real clients of the hub against a server on this machine that speaks its HTTP API."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator

import datasets
import pytest

from tests.helpers.hub_client import HubClient
from tests.helpers.hub_repositories import marc, pawsx, xlm_roberta, xnli
from tests.helpers.hub_server import HubServer, commit_of

ENCODER = "FacebookAI/xlm-roberta-base"
DATA = {
    "xnli": "facebook/xnli",
    "pawsx": "google-research-datasets/paws-x",
    "marc": "mteb/amazon_reviews_multi",
}
LARGE = (".parquet", ".jsonl", ".safetensors")
SECONDS = 10


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    datasets.disable_progress_bars()
    model = xlm_roberta()
    model.tags["v1"] = {**model.files, "README.md": b"older"}
    repositories = {"models/FacebookAI/xlm-roberta-base": model}
    for repository, make in zip(DATA.values(), (xnli, pawsx, marc), strict=True):
        repositories[f"datasets/{repository}"] = make()
    older = repositories["datasets/facebook/xnli"]
    older.tags["v1"] = {name: content for name, content in older.files.items() if "de/" not in name} | {
        name: content for name, content in xnli(("de",), first=99).files.items() if "de/" in name
    }
    home = tmp_path_factory.mktemp("hub") / "home"
    with HubServer(repositories) as server, HubClient(server, home) as started:
        yield started


@pytest.fixture(autouse=True)
def everything_works(client: HubClient) -> None:
    client.server.fault = lambda method, path: None
    for repository in client.server.repositories.values():
        repository.gated = False
    client.server.requests.clear()
    client.server.first_fault = None


@pytest.mark.parametrize("task", DATA)
def test_tasks_are_read_and_their_commit_is_said(client: HubClient, task: str) -> None:
    repository = DATA[task]
    commit = client.server.repositories[f"datasets/{repository}"].commit("main")
    answer = client.load("task", task)
    assert answer["commits"] == {repository: commit}
    assert answer["source"].startswith(f"{task}, {repository} at commit {commit} from the hub; ")
    assert Counter(row["language"] for row in answer["rows"]) == {"en": 10, "de": 10}
    assert all(row["language"] + "validation" in row["text"] for row in answer["rows"])
    files = [path for method, path, _ in client.server.requests if method == "GET" and path.endswith(LARGE)]
    assert len(files) == len(set(files)) == 6 and all(f"/resolve/{commit}/" in path for path in files)
    again = client.load("task", task, keep_cache=True)
    assert again["fingerprint"] == answer["fingerprint"]
    client.server.requests.clear()
    offline = client.load("task", task, keep_cache=True, HF_HUB_OFFLINE="1")
    assert offline["fingerprint"] == answer["fingerprint"] and offline["commits"] == answer["commits"]
    assert client.server.requests == []


def test_an_encoder_of_the_shape_of_xlm_r_is_read(client: HubClient) -> None:
    commit = client.server.repositories[f"models/{ENCODER}"].commit("main")
    for variables in ({}, {"HF_HUB_OFFLINE": "1"}):
        answer = client.load("encoder", ENCODER, keep_cache=bool(variables), **variables)
        assert answer["fingerprint"] == f"{ENCODER}:{commit}"
    fetched = {path.rpartition("/")[2] for method, path, status in client.server.requests if method == "GET"}
    assert {"config.json", "model.safetensors", "tokenizer.json"} < fetched


@pytest.mark.parametrize(("what", "name"), [("task", "xnli"), ("encoder", ENCODER)])
def test_a_revision_is_pinned_by_tag_or_commit(client: HubClient, what: str, name: str) -> None:
    key = f"models/{ENCODER}" if what == "encoder" else "datasets/facebook/xnli"
    repository = client.server.repositories[key]
    older, newer = commit_of(repository.tags["v1"]), repository.commit("main")
    latest = client.load(what, name)
    for revision in ("v1", older):
        pinned = client.load(what, f"{name}@{revision}", keep_cache=True)
        assert [*pinned["commits"].values()] == [older] != [newer]
        assert pinned["fingerprint"] != latest["fingerprint"]
    # A newer commit in the cache does not stand in for the pinned one.
    client.load(what, name)
    refused = client.load(what, f"{name}@{older}", keep_cache=True, HF_HUB_OFFLINE="1")
    assert older in refused["error"] and "cache" in refused["error"]


@pytest.fixture(scope="module")
def right(client: HubClient) -> dict[str, str]:
    """Fingerprints of what is loaded without faults."""
    loads = (("task", "xnli"), ("task", "marc"), ("encoder", ENCODER))
    return {name: client.load(what, name)["fingerprint"] for what, name in loads}


FAULTS = {
    "gated": (
        None,
        r"access to it is restricted; ask for access at http://\S+, and set HF_TOKEN to your token",
    ),
    "slow": (60.0, "sends nothing for 5 seconds .*HF_HUB_DOWNLOAD_TIMEOUT.*; try again"),
    "broken": (500, r"answers with an error \(500\); try again"),
    "busy": (429, r"answers with an error \(429\); try again"),
    "truncated": ("truncated", "breaks off .*; try again"),
    "stalled": ("stalled", "sends nothing for 5 seconds .*; try again"),
}


LOADS = [(what, name, fault) for what, name in (("task", "xnli"), ("encoder", ENCODER)) for fault in FAULTS]


@pytest.mark.parametrize(("what", "name", "fault"), [*LOADS, ("task", "marc", "truncated")])
def test_faults_are_one_line_within_seconds_and_leave_nothing(
    client: HubClient, right: dict[str, str], what: str, name: str, fault: str
) -> None:
    answer, message = FAULTS[fault]
    only_large = isinstance(answer, str)  # the other answers are right, so that half of a file is downloaded
    client.server.fault = lambda method, path: answer if path.endswith(LARGE) or not only_large else None
    for repository in client.server.repositories.values():
        repository.gated = fault == "gated"
    refused = client.load(what, name)
    # A refused token is no fault of the server's. Before a fault, other files are loaded in any time.
    waited = refused["seconds"] if fault == "gated" else time.monotonic() - client.server.first_fault
    assert waited < SECONDS
    where = f"task: {name}: could not load {DATA[name]} en train" if what == "task" else f"encoder: '{name}'"
    assert re.match(re.escape(where) + ".*" + message, refused["error"]), refused["error"]
    assert "\n" not in refused["error"] and "…" not in refused["error"]
    client.server.fault = lambda method, path: None
    later = client.load(what, name, keep_cache=True, HF_TOKEN=client.server.token)
    assert later["fingerprint"] == right[name]


@pytest.mark.parametrize(("what", "name"), [("task", "xnli"), ("encoder", ENCODER)])
def test_a_pinned_commit_waits_no_longer(client: HubClient, what: str, name: str) -> None:
    key = f"models/{ENCODER}" if what == "encoder" else "datasets/facebook/xnli"
    client.server.fault = lambda method, path: 60.0
    refused = client.load(what, f"{name}@{client.server.repositories[key].commit('main')}")
    assert "sends nothing for 5 seconds" in refused["error"] and refused["seconds"] < SECONDS


@pytest.mark.parametrize(
    ("what", "name", "message"),
    [
        (
            "encoder",
            "org/none",
            "'org/none' cannot be loaded: the hub has no such model, or not for you; if it is",
        ),
        ("encoder", f"{ENCODER}@v9", "it has no revision 'v9'; allowed: a commit hash, tag or branch"),
        ("encoder", f"{ENCODER}@{'0' * 40}", f"it has no revision '{'0' * 40}'; allowed"),
        ("encoder", f"{ENCODER}@", "is not there; allowed: e5-small, a directory, or a model id"),
        ("task", "xnli@v9", "could not load facebook/xnli@v9 en train .* it has no revision 'v9'; allowed"),
        ("task", f"marc@{'0' * 40}", f"it has no revision '{'0' * 40}'; allowed"),
        ("task", "intents@v1", "task: 'intents@v1' has a revision; allowed: intents"),
        ("task", "xnl@v1", "task: 'xnl@v1' is not known; allowed: intents, xnli"),
    ],
)
def test_what_is_missing_is_named(client: HubClient, what: str, name: str, message: str) -> None:
    refused = client.load(what, name)
    assert re.search(message, refused["error"]), refused["error"]
    assert refused["seconds"] < SECONDS and "\n" not in refused["error"]


def test_a_data_set_that_is_missing_is_named(client: HubClient) -> None:
    hidden = client.server.repositories.pop("datasets/facebook/xnli")
    try:
        refused = client.load("task", "xnli")
    finally:
        client.server.repositories["datasets/facebook/xnli"] = hidden
    assert (
        "could not load facebook/xnli en train from the hub: the hub has no such dataset" in refused["error"]
    )
    assert refused["seconds"] < SECONDS
