"""Terminal sessions, recorded from real commands under real terminals."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import termios
import textwrap
import uuid

import pytest

from agent.policy import Policy
from schemas.errors import ConfigError
from schemas.kinds import StreamKind
from schemas.records import decode_segment, encode_segment

BASH = ["bash", "--norc", "--noprofile", "-i"]


async def test_a_session_has_a_start_its_bytes_and_an_end(person):
    """What was typed and printed stands between a start with the command and an end with the exit code."""
    async with person(BASH) as at:
        await at.sees(b"ready> ")
        await at.type(b"echo one$((1+1))two; exit 7\r")
        assert await at.leaves() == 7
    first, last = at.events[0], at.events[-1]
    assert (first["kind"], first["data"], first["columns"], first["rows"]) == (
        "start", b"bash --norc --noprofile -i", 80, 24,
    )  # fmt: skip
    assert (last["kind"], last["exit_code"]) == ("end", 7)
    assert b"one2two" in at.told("output")
    assert at.told("input") == b"echo one$((1+1))two; exit 7\r"
    times = [event["time_us"] for event in at.events]
    assert times == sorted(times)
    assert len({uuid.UUID(event["session"]) for event in at.events}) == 1


async def test_events_are_what_the_schema_says(person):
    """A session can be encoded as a segment and comes back the same."""
    async with person(["printf", "hello"]) as at:
        await at.leaves()
    assert decode_segment(StreamKind.KEYSTROKES, encode_segment(StreamKind.KEYSTROKES, at.events)) == at.events


async def test_what_the_person_sees_is_what_the_command_wrote(person):
    """Binary output passes byte for byte, to the person and into the recording."""
    code = "import os,tty; tty.setraw(1); os.write(1, bytes(range(256)) * 40)"
    async with person([sys.executable, "-c", code]) as at:
        await at.leaves()
        await at.sees(bytes(range(256)) * 40)
    assert at.told("output") == bytes(range(256)) * 40


async def test_output_at_the_end_is_never_lost(person):
    """A command that prints much and exits at once is recorded to its last byte."""
    async with person(["bash", "-c", "stty -onlcr; seq 1 100000; printf last"]) as at:
        await at.leaves()
    assert at.told("output") == "".join(f"{n}\n" for n in range(1, 100_001)).encode() + b"last"


async def test_a_large_paste_arrives_whole(person, tmp_path):
    """200 kB pasted into a raw reader arrive; the terminal neither stalls nor drops."""
    target = tmp_path / "pasted"
    paste = b"".join(b"line %06d of a large paste\n" % n for n in range(7000))
    code = textwrap.dedent(f"""
        import os, tty
        tty.setraw(0)
        os.write(1, b"go")
        data = b""
        while len(data) < {len(paste)}:
            data += os.read(0, 65536)
        open({str(target)!r}, "wb").write(data)
    """)
    async with person([sys.executable, "-c", code]) as at:
        await at.sees(b"go")
        await at.type(paste)
        assert await at.leaves() == 0
    assert target.read_bytes() == paste


async def test_lines_typed_to_a_waiting_command_are_kept(person):
    """`cat` reads lines that the kernel echoes: input, echo and output are all there, in order."""
    async with person(["cat"]) as at:
        await at.until(lambda: at.events)
        for word in (b"apricot", b"cherry"):
            for byte in word:
                await at.type(bytes([byte]))
            await at.type(b"\r")
            await at.sees(word, times=2)
        await at.type(b"\x04")
        assert await at.leaves() == 0
    assert at.told("input") == b"apricot\rcherry\r\x04"
    assert at.told("output") == b"apricot\r\napricot\r\ncherry\r\ncherry\r\n"
    assert not at.masked


async def test_many_lines_pasted_into_cat_are_kept(person):
    """A paste that takes the reader a while is not mistaken for typing ahead."""
    lines = [b"pasted line number %d\r" % n for n in range(100)]
    async with person(["cat"]) as at:
        await at.until(lambda: at.events)
        await at.type(b"".join(lines))
        await at.sees(b"\n", times=2 * len(lines))  # what cat prints may cut an echo in two
        await at.type(b"\x04")
        await at.leaves()
    assert at.told("input") == b"".join(lines) + b"\x04"


@pytest.mark.parametrize(
    "prompt",
    [
        'read -s -p "Password: " x; echo; echo "length ${#x}"',
        'printf "Password: "; stty -echo; read x; stty echo; echo; echo "length ${#x}"',
        f"{sys.executable} -c \"import getpass; print('length', len(getpass.getpass()))\"",
    ],
    ids=["read -s", "stty -echo", "getpass"],
)
async def test_a_password_is_masked(person, prompt):
    """Typed at a prompt with echo off, it is in no event: one event says that something was typed."""
    async with person(["bash", "-c", prompt]) as at:
        await at.sees(b"Password: ")
        for byte in b"hunter2sesame":
            await at.type(bytes([byte]))
        await at.type(b"\r")
        await at.sees(b"length 13")
        await at.leaves()
    assert b"hunter2" not in at.everything
    assert b"sesame" not in at.everything
    assert at.masked == 1
    assert at.told("input") == b""


async def test_a_password_within_a_shell_session_is_masked_and_the_rest_is_kept(person):
    """Commands before and after a prompt are recorded, the password is not."""
    async with person(BASH) as at:
        await at.sees(b"ready> ")
        await at.type(b'read -s -p "Pass""word: " x\r')
        await at.sees(b"Password: ")
        await at.type(b"hunter2\r")
        await at.sees(b"ready> ", times=2)
        await at.type(b"echo after-$((1+1))\r")
        await at.sees(b"after-2")
        await at.type(b"exit\r")
        await at.leaves()
    assert b"hunter2" not in at.everything
    assert at.masked == 1
    assert at.told("input") == b'read -s -p "Pass""word: " x\recho after-$((1+1))\rexit\r'


@pytest.mark.parametrize("pieces", [[b"hunter2\r"], [b"hun", b"ter2\r"], [b"h", b"u", b"n", b"t", b"e", b"r2", b"\r"]])
async def test_a_password_typed_ahead_is_masked_with_its_echo(person, pieces):
    """Typed before the prompt switched the echo off, neither the input nor the kernel's echo of it is kept."""
    command = 'echo busy; sleep 0.7; read -s -p "Password: " x; echo; echo "length ${#x}"'
    async with person(["bash", "-c", command]) as at:
        await at.sees(b"busy")
        for piece in pieces:
            await at.type(piece)
        await at.sees(b"length 7")
        await at.leaves()
    assert b"hunter2" in at.screen.replace(b"\r\n", b"")  # the person saw it: the echo was on
    for part in (b"hunter2", b"hun", b"ter2"):
        assert part not in at.everything
    assert at.masked == 1
    assert b"busy" in at.told("output")
    assert b"length 7" in at.told("output")


async def test_half_a_password_typed_ahead_is_masked(person):
    """A line begun with echo on and finished with echo off is masked as a whole."""
    command = 'echo busy; sleep 0.5; read -s -p "Password: " x; echo; echo "length ${#x}"'
    async with person(["bash", "-c", command]) as at:
        await at.sees(b"busy")
        await at.type(b"hunter")
        await at.sees(b"Password: ")
        await at.type(b"sesame\r")
        await at.sees(b"length 12")
        await at.leaves()
    assert b"hunter" not in at.everything
    assert b"sesame" not in at.everything
    assert at.masked == 1


async def test_a_command_typed_ahead_at_a_shell_is_kept(person):
    """The shell's line editor shows it again: it is no secret."""
    async with person(BASH) as at:
        await at.sees(b"ready> ")
        await at.type(b"sleep 0.5\r")
        await at.sees(b"sleep 0.5\r\n")
        await at.type(b"echo ahead-$((1+1))\r")
        await at.sees(b"ahead-2")
        await at.type(b"exit\r")
        await at.leaves()
    assert at.told("input") == b"sleep 0.5\recho ahead-$((1+1))\rexit\r"


async def test_keys_that_a_raw_command_does_not_show_are_masked(person):
    """A prompt that reads keys itself and prints stars (as sudo's pwfeedback does) gives nothing away."""
    code = textwrap.dedent("""
        import os, tty, sys
        tty.setraw(0)
        os.write(1, b"Enter it: ")
        while (key := os.read(0, 1)) != b"\\r":
            os.write(1, b"*")
        os.write(1, b" thanks")
    """)
    async with person([sys.executable, "-c", code]) as at:
        await at.sees(b"Enter it: ")
        for byte in b"hunter2":
            await at.type(bytes([byte]))
        await at.type(b"\r")
        await at.leaves()
    assert at.told("input").strip() == b""
    assert at.masked == 1


async def test_a_user_name_asked_for_before_a_password_is_kept(person):
    """The password prompt that follows at once does not mask the line before it."""
    async with person(["bash", "-c", 'read -p "User: " u; read -s -p "Password: " x; echo "for $u"']) as at:
        await at.sees(b"User: ")
        await at.type(b"alice\r")
        await at.sees(b"Password: ")
        await at.type(b"hunter2\r")
        await at.sees(b"for alice")
        await at.leaves()
    assert at.told("input") == b"alice\r"
    assert at.masked == 1


async def test_a_new_window_size_reaches_the_command_and_the_recording(person):
    """SIGWINCH passes on: the command sees the new size, and a resize event says it."""
    async with person(["bash", "-c", "trap 'stty size' WINCH; echo waiting; while :; do sleep 0.05; done"]) as at:
        await at.sees(b"waiting")
        termios.tcsetwinsize(at.terminal, (40, 132))
        os.kill(os.getpid(), signal.SIGWINCH)
        await at.sees(b"40 132")
        await at.until(lambda: any(event["kind"] == "resize" for event in at.events))
    resize = next(event for event in at.events if event["kind"] == "resize")
    assert (resize["columns"], resize["rows"]) == (132, 40)
    assert at.events[-1]["columns"] == 132


async def test_job_control_works(person):
    """Ctrl-Z stops the job in front, `fg` brings it back, Ctrl-C ends it; the shell lives on."""
    async with person(BASH) as at:
        await at.sees(b"ready> ")
        await at.type(b"sleep 1000\r")
        await at.sees(b"sleep 1000\r\n")
        await at.until(lambda: _in_front(at, "sleep"))
        await at.type(b"\x1a")
        await at.sees(b"Stopped")
        await at.type(b"fg\r")
        await at.until(lambda: _in_front(at, "sleep"))
        await at.type(b"\x03")
        await at.sees(b"^C")
        await at.type(b"exit 3\r")
        assert await at.leaves() == 3


async def test_the_exit_code_of_a_killed_command_names_its_signal(person):
    """As a shell reports it: 128 and the signal."""
    async with person(["bash", "-c", "kill -TERM $$"]) as at:
        assert await at.leaves() == 128 + signal.SIGTERM


async def test_cancelling_hangs_the_command_up_and_tells_the_end(person):
    """No process stays behind, and the session has its end."""
    async with person(BASH) as at:
        await at.sees(b"ready> ")
        at.running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await at.running
    assert at.events[-1]["kind"] == "end"
    assert at.events[-1]["exit_code"] == 128 + signal.SIGHUP


async def test_a_background_job_does_not_keep_the_session_open(person):
    """The session ends with its command, also where a job still holds the terminal."""
    async with person(["bash", "-c", "trap '' HUP; sleep 30 & echo $!"]) as at:
        assert await at.leaves() == 0
    os.kill(int(at.told("output")), signal.SIGKILL)


async def test_the_terminal_is_as_it_was_afterwards(person):
    """The person's own terminal is raw only while the command runs."""
    at = person(["true"])
    before = termios.tcgetattr(at.terminal)
    async with at:
        await at.leaves()
        assert termios.tcgetattr(at.terminal) == before


async def test_nothing_is_told_while_paused(person):
    """The command runs and the person sees it; the recording has no word of it."""
    at = person(BASH)
    at.policy = Policy(streams=frozenset({"keystrokes"}), paused=True)
    async with at:
        await at.sees(b"ready> ")
        await at.type(b"echo unheard; exit\r")
        await at.leaves()
        await at.sees(b"unheard")
    assert at.events == []


async def test_a_command_that_does_not_exist_is_refused(person):
    """Before anything else happens, with its name."""
    async with person(["no-such-command-anywhere"]) as at:
        with pytest.raises(ConfigError, match="no-such-command-anywhere"):
            await at.running


@pytest.mark.parametrize("command", [["cat"], BASH], ids=["cat", "bash"])
def test_a_pipe_in_place_of_a_keyboard(command):
    """Input from a pipe is typed, and its end ends the command."""
    script = textwrap.dedent(f"""
        import asyncio, sys
        from agent.policy import Policy
        from agent.sources.terminal import TerminalSource
        async def emit(event): pass
        source = TerminalSource({command!r})
        asyncio.run(source.run(emit, lambda: Policy(streams=frozenset({{"keystrokes"}}))))
        sys.exit(source.exit_code)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], input=b"echo piped-$((1+1))\n", capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (b"piped-2" if command is BASH else b"echo piped-$((1+1))\r\necho piped") in done.stdout


def _in_front(at, name):
    found = shutil.which("ps")
    assert found
    shown = subprocess.run([found, "-eo", "stat,comm,ppid"], capture_output=True, text=True, check=True).stdout
    return any(line.split()[1] == name and "+" in line.split()[0] and "T" not in line.split()[0]
               for line in shown.splitlines() if len(line.split()) == 3)  # fmt: skip


async def test_after_a_renewal_the_start_is_told_again(person):
    """With the command, the size, the title and whether a full-screen program runs, before the event that follows."""
    code = """
        import os, sys, tty
        tty.setraw(0)
        for shown in ("\\x1b]2;no", "tes\\a\\x1b[?10", "49hpage", "\\x1b[?1049lback"):
            print(shown, end="", flush=True)
            os.read(0, 1)
    """
    async with person([sys.executable, "-c", textwrap.dedent(code)]) as at:
        await at.sees(b"2;no")
        for expected in (b"[?10", b"page", b"back"):
            await at.type(b"\r")
            await at.until(lambda wanted=expected: wanted in at.told("output"))
            at.source.renew()
        await at.type(b"\r")
        await at.leaves()
    first, *again = [event for event in at.events if event["kind"] == "start"]
    assert (first["title"], first["alternate"]) == ("", False)
    assert [(one["title"], one["alternate"]) for one in again] == [("notes", False), ("notes", True), ("notes", False)]
    assert {(one["data"], one["columns"], one["session"]) for one in again} == {
        (first["data"], first["columns"], first["session"])
    }
