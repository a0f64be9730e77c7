"""The player, in a browser on the real stack: a day that an agent tells by heart, so that every frame is known."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import httpx2 as httpx
import pytest
from playwright.sync_api import Page, Request, expect

from infra.settings import Settings
from tests.console.harness import NARROW, PASSWORD, WIDE, Console, Theme, Visit, chromium, zone_of_noon
from tests.console.scripted import END_S, GAP_DETAIL, GAP_S, IDLE_S, WORD, frame_at, frame_times, mark_of
from tests.live.live_site import PATIENCE_S, Site, open_site
from tests.live.operator import until

pytestmark = [pytest.mark.live, pytest.mark.slow]

STREAMS = {"screen", "keystrokes", "email", "activity", "audio"}
EXPORT_S = (2.0, 8.0)
MARK = """number => {
  const canvas = document.querySelectorAll(".display canvas")[number];
  if (!canvas || canvas.width < 300) return null;
  return [...canvas.getContext("2d").getImageData(20, 20, 1, 1).data.slice(0, 3)];
}"""


@dataclass(frozen=True)
class Day:
    """Whose day it is, and when it began."""

    person: str
    base_ms: int

    def at(self, second: float) -> int:
        """Milliseconds since 1970 of that second."""
        return self.base_ms + round(second * 1000)

    def link(self, second: float, **more: str) -> str:
        """The address of that moment."""
        rest = "".join(f"&{name}={value}" for name, value in more.items())
        return f"/player?person={self.person}&at={self.at(second)}{rest}"


@pytest.fixture(scope="module")
def site(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway beside the stack's, whose policy records everything."""
    with open_site(stack, tmp_path_factory.mktemp("player")) as opened:
        opened.set_policy(streams=sorted(STREAMS), max_frames_per_second=10)
        yield opened


@pytest.fixture(scope="module")
def console(stack: Settings, site: Site) -> Iterator[Console]:
    """The console of that gateway."""
    gateway = stack.gateway.model_copy(update={"https_port": site.ports["https"]})
    with chromium() as browser:
        yield Console(stack.model_copy(update={"gateway": gateway}), browser, zone_of_noon())


@pytest.fixture(scope="module")
def day(console: Console, site: Site) -> Day:
    """A day that is on the server as a whole, and can be searched."""
    made = Day(f"ann-{uuid4().hex[:6]}", int(time.time() * 1000) - 300_000)
    directory = site.folder / "agent"
    site.cli("agent", "enrol", site.cli("agent", "token").split()[-1], "--dir", str(directory))
    (directory / "agent.toml").write_text("[recorder]\nsegment_ms = 30\n")
    command = [sys.executable, "-m", "tests.console.scripted", str(directory), made.person, "desk-7", str(made.base_ms)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with httpx.Client(base_url=f"{site.base}/api/v1", verify=False, timeout=60) as client:
        answer = client.post("/session", json={"name": console.account("officer"), "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        until("the whole day", lambda: is_there(client, made), PATIENCE_S)
        until("the day's words", lambda: len(found(client, made)) >= 2, PATIENCE_S)
    return made


def is_there(client: httpx.Client, day: Day) -> bool:
    """Whether the timeline has every stream to its end, and the gap."""
    query: dict[str, Any] = {"person": day.person, "since_ms": day.at(-60), "until_ms": day.at(END_S + 60)}
    answer = client.get("/recordings/timeline", params=query)
    if answer.status_code != 200:
        return False
    told = answer.json()
    last = max((one["until_ms"] for one in told["spans"] if one["stream"] == "screen"), default=0)
    streams = {one["stream"] for one in told["spans"]}
    return streams >= STREAMS and last >= day.at(END_S - 2) and bool(told["gaps"]) and len(told["activity"]) >= 4


def found(client: httpx.Client, day: Day) -> list[Any]:
    """Hits of the day's word."""
    answer = client.get("/search", params={"q": WORD, "person": day.person})
    return list(answer.json()["hits"]) if answer.status_code == 200 else []


def open_at(visit: Visit, day: Day, second: float, **more: str) -> Page:
    """The player at that second, its picture drawn."""
    page = visit.page
    page.goto(visit.base + day.link(second, **more))
    page.locator(".transport").wait_for()
    return page


def await_frame(page: Page, second: float) -> None:
    """Wait until the first display shows the frame of that second."""
    wanted = list(mark_of(frame_at(second)))
    try:
        page.wait_for_function(f"wanted => String(({MARK})(0)) === String(wanted)", arg=wanted, timeout=30_000)
    except Exception as error:
        raise AssertionError(f"wanted {wanted}, shown {page.evaluate(MARK, 0)} at {clock(page)}") from error


def shown_frame(page: Page) -> int:
    """The number of the frame that is shown."""
    mark = page.evaluate(MARK, 0)
    return int(mark[0]) if mark else -1


def await_still(page: Page) -> int:
    """The number of the frame that is shown when what was under way is drawn."""
    shown = [shown_frame(page)]
    while len(set(shown[-3:])) > 1 or len(shown) < 3:
        assert len(shown) < 20, f"it goes on: {shown}"
        page.wait_for_timeout(400)
        shown.append(shown_frame(page))
    return shown[-1]


def clock(page: Page) -> str:
    return page.locator(".transport .clock time").inner_text()


def moment(page: Page) -> int:
    """Where the slider stands, in seconds since 1970."""
    return int(page.get_by_role("slider", name="Moment").get_attribute("aria-valuenow") or 0)


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), (WIDE, "dark"), (NARROW, "light"), (NARROW, "dark")])
def test_the_page_is_usable_in_every_size_and_theme(
    console: Console, day: Day, size: tuple[int, int], theme: Theme
) -> None:
    """Pictures, panes and timeline, accessible, without sideways scrolling."""
    with console.visit("officer", size=size, theme=theme) as visit:
        page = open_at(visit, day, 9)
        await_frame(page, 9)
        page.wait_for_load_state("networkidle")
        visit.shot(f"player-{size[0]}-{theme}")
        visit.check_fits()
        visit.check_accessible()
        for pane in ("terminal", "mail", "activity", "markers"):
            open_at(visit, day, 9, pane=pane, q=WORD)
            page.wait_for_load_state("networkidle")
            visit.shot(f"player-{pane}-{size[0]}-{theme}")
            visit.check_fits()
            visit.check_accessible()


def test_people_are_chosen(console: Console, day: Day) -> None:
    """By a part of the name, and the day opens at its beginning."""
    with console.visit("officer") as visit:
        page = visit.go("/player")
        page.get_by_label("Person or computer").fill(day.person)
        page.get_by_role("link", name=day.person).click()
        page.locator(".display canvas").first.wait_for()
        assert f"person={day.person}" in page.url
        visit.check_accessible()


def test_a_moment_is_exact_and_frames_are_stepped(console: Console, day: Day) -> None:
    """The address names a moment; `.` and `,` go by the frames' own times, over the edge of what was loaded too."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 8.2)
        await_frame(page, 8.2)
        for key, second in ((".", 8.5), (".", 9.0), (",", 8.5), (",", 8.0), (",", 7.5)):
            page.keyboard.press(key)
            await_frame(page, second)
        for number in range(8):
            page.keyboard.press(",")
            await_frame(page, 7.0 - number / 2)
        page.keyboard.press("ArrowRight")
        await_frame(page, 3.5 + 5)
        page.keyboard.press("Home")
        await_frame(page, 0)
        expect(page.locator(".display canvas")).to_have_count(2)


def test_a_seek_takes_two_range_reads_and_starts_fast(console: Console, day: Day) -> None:
    """One for screens and sound, one for text; the first picture is measured, for the bench."""
    with console.visit("officer") as visit:
        page, reads = visit.page, list[str]()
        page.on("request", lambda request: reads.append(request.url) if is_read(request) else None)
        open_at(visit, day, 5)
        await_frame(page, 5)
        await_quiet(page, reads)
        reads.clear()
        page.keyboard.press("End")
        await_frame(page, END_S - 0.5)
        await_quiet(page, reads)
        assert len(reads) <= 2, reads
        times = []
        for second in (3, 45, 105):
            page.goto(visit.base + day.link(second))
            page.wait_for_function(f"() => ({MARK})(0)", polling=10)
            times.append(page.evaluate("performance.now()"))
        told = ", ".join(f"{one:.0f}" for one in times)
        sys.stdout.write(f"\nfirst picture after {told} ms\n")


def is_read(request: Request) -> bool:
    return "/recordings/segments" in request.url


def await_quiet(page: Page, reads: list[str]) -> None:
    """Wait until nothing more was read for a while."""
    known = -1
    while known != len(reads):
        known = len(reads)
        page.wait_for_timeout(2000)


def test_it_plays_and_skips_what_is_idle(console: Console, day: Day) -> None:
    """Frames follow the clock; idle time is skipped, and said; the speed is changed by keys."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 2)
        await_frame(page, 2)
        page.keyboard.press("Space")
        page.wait_for_function(f"() => ({MARK})(0)?.[0] >= {frame_at(4)}", timeout=30_000)
        page.keyboard.press("]")
        expect(page.get_by_label("Speed")).to_have_value("2")
        page.keyboard.press("Space")
        stood = await_still(page)
        page.wait_for_timeout(1200)
        assert shown_frame(page) - stood <= 1
        page.goto(visit.base + day.link(IDLE_S[0] - 1))
        await_frame(page, IDLE_S[0] - 1)
        page.keyboard.press("Space")
        expect(page.locator(".told")).to_contain_text("Skipped", timeout=30_000)
        page.wait_for_function(f"() => ({MARK})(0)?.[0] >= {frame_at(IDLE_S[1])}", timeout=30_000)


def test_a_gap_is_shown_with_its_reason(console: Console, day: Day) -> None:
    """Never an older picture; the key `g` goes there, the list of markers has it."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 5, pane="markers")
        await_frame(page, 5)
        page.keyboard.press("g")
        notice = page.locator(".screens .gap").first
        expect(notice).to_contain_text("Nothing was recorded from")
        expect(notice).to_contain_text(f"it could not be recorded ({GAP_DETAIL})")
        until("the gap's beginning", lambda: moment(page) == day.at(GAP_S[0]) // 1000)
        assert page.locator(".display canvas").count() == 0
        visit.shot("player-gap")
        visit.check_accessible()
        expect(page.get_by_role("list", name="Markers").get_by_role("button", name="Gap")).to_contain_text("screen")


def test_a_terminal_is_text_that_can_be_selected(console: Console, day: Day) -> None:
    """Exactly as it stood, forth and back; what was typed is shown, what was masked is not."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 4.5, pane="terminal")
        screen = page.get_by_role("region", name="Terminal")
        expect(screen).to_contain_text(f"ready> echo {WORD}")
        expect(screen).not_to_contain_text("Password")
        screen.select_text()
        selected = page.evaluate("getSelection().toString()")
        assert re.search(rf"ready> echo {WORD}\s*\n\s*{WORD}\s*\n\s*ready>", selected), selected
        page.keyboard.press("ArrowRight")
        page.locator("body").click(position={"x": 400, "y": 5})
        page.keyboard.press("ArrowRight")
        expect(screen).to_contain_text("welcome")
        expect(screen.get_by_text("Password:")).to_have_class("c-1")
        typed = page.get_by_role("group", name="Typed")
        expect(typed).to_contain_text(f"echo {WORD}")
        expect(typed).to_contain_text("hidden, not kept")
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        expect(screen).to_contain_text(WORD)
        expect(screen).not_to_contain_text("welcome")


def test_mails_and_activity_come_in_time(console: Console, day: Day) -> None:
    """A mail is there from its moment on; the window that was in front is named."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 2, pane="mail")
        expect(page.locator(".mails")).to_contain_text("No mail")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".mails")).to_contain_text(f"About the {WORD}")
        expect(page.locator(".mails")).to_contain_text("offer.pdf")
        open_at(visit, day, 50, pane="activity")
        expect(page.locator(".activity")).to_contain_text("a window of Browser")


def test_finds_are_markers(console: Console, day: Day) -> None:
    """What the address searches for stands in the list and is gone to by keys."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 1, pane="markers", q=WORD)
        finds = page.get_by_role("list", name="Markers").get_by_role("button", name="Found")
        finds.first.wait_for()
        before = moment(page)
        page.keyboard.press("n")
        page.wait_for_function(
            f"() => Number(document.querySelector('.slider').getAttribute('aria-valuenow')) > {before}"
        )
        page.keyboard.press("Shift+N")
        finds.last.click()
        until("the last find", lambda: moment(page) >= before)


def test_a_clip_carries_its_reference(console: Console, day: Day, tmp_path: Path) -> None:
    """A WebM with pictures and sound, the reference in it, and the same reference on the server."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, EXPORT_S[0], **{"from": str(day.at(EXPORT_S[0])), "until": str(day.at(EXPORT_S[1]))})
        await_frame(page, EXPORT_S[0])
        page.keyboard.press("e")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Purpose").fill("a test of the player")
        visit.check_accessible()
        visit.shot("player-export")
        with page.expect_download(timeout=120_000) as download:
            dialog.get_by_role("button", name="Export").click()
        clip = tmp_path / download.value.suggested_filename
        download.value.save_as(clip)
        reference = clip.stem
        assert re.fullmatch(r"X-[0-9A-Z]{4}-[0-9A-Z]{4}", reference)
        expect(page.get_by_role("dialog")).to_contain_text(reference)
        check_clip(clip, reference, day)
        told = page.request.get(f"{visit.base}/api/v1/exports/{reference}").json()
        assert (told["purpose"], told["person"]) == ("a test of the player", day.person)


def check_clip(clip: Path, reference: str, day: Day) -> None:
    """Decoded by another program: pictures in order, sound, and the reference in the metadata."""
    assert clip.read_bytes().count(reference.encode()) >= 2
    with av.open(str(clip)) as container:
        told = json.dumps(dict(container.metadata))
        assert reference in told
        assert day.person in told
        kinds = sorted(stream.type for stream in container.streams)
        assert kinds == ["audio", "video"]
        pictures = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    length = EXPORT_S[1] - EXPORT_S[0]
    assert abs(float(pictures[-1][0] or 0) - length) <= 1
    assert len(pictures) >= length * 2
    footer = pictures[0][1][-20]
    assert footer.mean() > 200
    with av.open(str(clip)) as container:
        sound: list[Any] = [frame.to_ndarray() for frame in container.decode(audio=0)]
    assert sum(one.shape[1] for one in sound) / 48_000 == pytest.approx(length, abs=0.5)
    assert max(abs(one).max() for one in sound) > 0.05


def test_text_is_exported(console: Console, day: Day, tmp_path: Path) -> None:
    """What the server may read, as it writes it down."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 3, **{"from": str(day.at(0)), "until": str(day.at(15))})
        await_frame(page, 3)
        page.keyboard.press("e")
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Text", exact=False).first.check()
        dialog.get_by_label("Purpose").fill("a test of the player")
        with page.expect_download(timeout=60_000) as download:
            dialog.get_by_role("button", name="Export").click()
        path = tmp_path / "export.txt"
        download.value.save_as(path)
        text = path.read_text("utf-8")
        assert WORD in text
        assert Path(download.value.suggested_filename).stem in text


def test_keys_are_listed(console: Console, day: Day) -> None:
    """`?` shows them, Escape closes."""
    with console.visit("officer") as visit:
        page = open_at(visit, day, 3)
        await_frame(page, 3)
        page.keyboard.press("?")
        expect(page.get_by_role("dialog", name="Keys of the player")).to_contain_text("one frame back, forth")
        visit.check_accessible()
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_frames_are_as_many_as_were_recorded() -> None:
    """The script's own arithmetic."""
    assert frame_at(0) == 0
    assert frame_at(END_S) == len(frame_times()) - 1
    assert len(frame_times()) < 200
