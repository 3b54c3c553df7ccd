"""The live page, as a browser and as a stranger meets it: real sockets, and real Chromium for what must not run."""

import asyncio
import http.client
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from deepswarm.core.events import CallEnded, CallStarted, RunEnded, RunStarted, SeedEnded
from deepswarm.core.identity import content_of
from deepswarm.core.records import Incoming, Outcome, Usage
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.reporting import write_report
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.web.access import Access, Refusal
from deepswarm.web.answers import file_page
from deepswarm.web.server import viewing

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARK = "document.title='RUN'+'NING'"
SHAPES = (
    "<script>{}</script>",
    "</script><script>{}</script>",
    "<img src=x onerror={}>",
    "<svg onload={}>",
    '"><svg/onload={}>',
    "'><img src=x onerror={}>",
    "<iframe srcdoc='<script>parent.{}</script>'></iframe>",
    "<details open ontoggle={}>",
    "<body onload={}>",
    "<input autofocus onfocus={}>",
    "<video><source onerror={}></video>",
    "<a href=javascript:{}>x</a>",
    "<meta http-equiv=refresh content='0;url=javascript:{}'>",
    "<!--><script>{}</script>-->",
    "<![CDATA[><script>{}</script>]]>",
    "</title><script>{}</script>",
    "</style><script>{}</script>",
    "</pre><script>{}</script>",
    "{{{{constructor.constructor('{}')()}}}}",
    "\u2028</script\u2029><script>{}</script>",
)
PREFIXES = ("", "x", "]]>", "\\u003c/script>", "`", "${", "&lt;", "\x00", "\u202e", "<!--")
ATTACKS = [prefix + shape.format(MARK) for shape in SHAPES for prefix in PREFIXES]


def made(folder: Path, texts=ATTACKS) -> Path:
    """A run whose every text is one of these: ids, seeds, answers, models, reasons, errors."""
    RunFolder(folder).make()
    journal = SqliteJournal(RunFolder(folder).journal)
    seeds = [{"id": f"{number} {text}", "topic": text} for number, text in enumerate(texts)]
    journal.enrol([Incoming(each["id"], content_of(each), -1, 0, 1) for each in seeds], None)
    task = json.dumps({"prompt_template": "{{topic}}", "worker_model": texts[0], "worker_api_base": "http://x/v1"})
    events = [RunStarted(1000.0, 0.0, 1, "f", task, "1", simulated=False)]
    for number, text in enumerate(texts, 1):
        body = json.dumps(
            {"choices": [{"message": {"content": text}, "finish_reason": "stop"}], "model": text}
        ).encode()
        good = number % 2
        events += [
            CallStarted(1000.0 + number, float(number), number, number, 1),
            CallEnded(1001.0 + number, number + 1.0, number, number, "ok" if good else text, text, 200, "stop", text,
                      Usage(5, 7), False, text, body),
            SeedEnded(1001.0 + number, number + 1.0, number, number, Outcome.DONE if good else Outcome.FAILED,
                      "ok" if good else text, "" if good else text, 1, float(number),
                      json.dumps(seeds[number - 1]).encode()),
        ]  # fmt: skip
    asyncio.run(written(journal, [*events, RunEnded(2000.0, 500.0, 1, "paused", texts[1])]))
    journal.close()
    return folder


async def written(journal, events):
    keeper = asyncio.create_task(journal.keep())
    await journal.append(events)
    keeper.cancel()


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    return made(tmp_path_factory.mktemp("attacked"))


def asked(access, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", access.port, timeout=20)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply, body


# --- who may ask -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "headers", "status"),
    [
        ("GET", "/", {}, 403),
        ("GET", "/secret", {}, 403),
        ("GET", "/wrong/", {}, 403),
        ("GET", "/secret/", {"host": "evil.example:80"}, 403),
        ("GET", "/secret/", {"host": "127.0.0.1:81"}, 403),
        ("GET", "/secret/", {"host": ""}, 403),
        ("GET", "/secret/", {"origin": "http://evil.example"}, 403),
        ("GET", "/secret/", {"origin": "null"}, 403),
        ("GET", "/secret/", {"sec-fetch-site": "cross-site"}, 403),
        ("POST", "/secret/", {}, 405),
        ("DELETE", "/secret/api/rows", {}, 405),
    ],
)
def test_strangers_forged_names_and_changes_are_refused(method, target, headers, status):
    found = Access("secret", 80).check(method, target, {"host": "127.0.0.1:80", **headers})
    assert isinstance(found, Refusal)
    assert found.status == status


def test_who_has_the_secret_and_asks_from_the_page_itself_is_let_in():
    headers = {"host": "localhost:80", "origin": "http://localhost:80", "sec-fetch-site": "same-origin"}
    assert Access("secret", 80).check("GET", "/secret/api/rows?find=x", headers) == "api/rows?find=x"


def test_on_a_real_socket_there_is_nothing_without_the_secret_and_a_strict_policy_with_it(attacked):
    with viewing(attacked) as access:
        path = f"/{access.token}/"
        assert asked(access, "/")[0].status == 403
        assert asked(access, path, Host="evil.example")[0].status == 403
        assert asked(access, path, method="POST")[0].status == 405
        assert asked(access, f"{path}../../etc/passwd")[0].status == 404
        reply, body = asked(access, path)
        assert reply.status == 200
        assert "unsafe" not in reply.headers["Content-Security-Policy"]
        assert b"<script>" not in body


# --- what is answered ------------------------------------------------------------------------------------------------


def test_all_conversations_are_found_page_by_page_each_once(attacked):
    with viewing(attacked) as access:
        found, start = [], ""
        while start is not None:
            page = json.loads(asked(access, f"/{access.token}/api/rows?which=all{start}")[1])
            found += [row["id"] for row in page["rows"]]
            start = None if page["next"] is None else f"&from={page['next']}"
    assert len(found) == len(set(found)) == len(ATTACKS)


def test_a_search_finds_what_an_answer_says_and_nothing_else(tmp_path):
    made(tmp_path, ['the "tide" is 100% in', "a Größe", "nothing", "no more"])
    with viewing(tmp_path) as access:

        def ids(find):
            return [
                row["id"][0] for row in json.loads(asked(access, f"/{access.token}/api/rows?find={find}")[1])["rows"]
            ]

        assert ids("%22tide%22%20is%20100%25") == ["0"]
        assert ids("Gr%C3%B6%C3%9Fe") == ["1"]
        assert ids("NOTHING") == ["2"]
        assert ids("n_thing") == []


def test_a_filters_file_is_read_page_by_page_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "clean.jsonl"
    path.write_bytes(b"".join(b'{"id": "%d", "answer": "a"}\n' % number for number in range(70)) + b'{"id": "71')
    first = file_page(path, 0, "")
    second = file_page(path, first["next"], "")
    assert [row["id"] for row in first["rows"] + second["rows"]] == [str(number) for number in range(70)]
    assert second["next"] is None


# --- what runs in a browser ------------------------------------------------------------------------------------------


def browsed(address, folder, *more):
    if CHROMIUM is None:
        pytest.skip("not run: there is no Chromium here (apt-get install -y chromium)")
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}"]
    command += ["--window-size=1280,2000", "--virtual-time-budget=4000", *more, address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=40).stdout


@pytest.mark.slow
def test_no_injected_script_runs_in_the_report_and_every_text_is_shown(attacked, tmp_path):
    assert len(ATTACKS) == 200
    report = write_report(attacked, 0.0, target=tmp_path)
    shown = browsed(report.files[0].as_uri(), tmp_path / "profile", "--dump-dom")
    assert "RUNNING" not in shown
    assert "The sums" in shown
    assert "&lt;img src=x onerror=" in shown


@pytest.mark.slow
def test_no_injected_script_runs_in_the_live_page(attacked, tmp_path):
    with viewing(attacked) as access:
        shown = browsed(f"{access.address}#conversations", tmp_path / "profile", "--dump-dom")
    assert "RUNNING" not in shown
    assert 'class="card row"' in shown
    assert "&lt;img src=x onerror=" in shown


@pytest.mark.slow
def test_page_and_report_can_be_photographed(attacked, tmp_path):
    report = write_report(attacked, 0.0, target=tmp_path)
    picture = tmp_path / "report.png"
    browsed(report.files[0].as_uri(), tmp_path / "profile", f"--screenshot={picture}", "--hide-scrollbars")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
