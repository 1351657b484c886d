"""Ctrl-C and SIGTERM at any moment: one line, the command that resumes it, exit code 130."""

from __future__ import annotations

import os
import signal

import pytest

from interp.errors import Interrupted
from interp.interruption import resume_command, stop_signal
from tests.support.command import run_process

SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
LINE = "interp: Stopped. Resume with: interp train sft --out 'my run'\n"
MOMENTS = {
    "while our packages are looked for": "shadowing.require_own_packages = stop",
    "in an import": "sys.meta_path.insert(0, Finder())",
    "where a library swallows everything": "shadowing.require_own_packages = swallowed",
    "where a library renames what it catches": "shadowing.require_own_packages = renamed",
    "in native code that does not come back": "shadowing.require_own_packages = native",
    "twice": "shadowing.require_own_packages = lambda: (stop(), stop())",
    "in a destructor": "shadowing.require_own_packages = Last",
}
PROGRAM = """
import ctypes, os, sys, threading, time
import interp.__main__ as start
from interp import interruption, shadowing
interruption._PATIENCE = 0.1
sys.argv = ["interp", "train", "sft", "--out", "my run", "--fresh"]
stop = lambda: os.kill(os.getpid(), {number})

class Finder:
    def find_spec(self, name, *rest):
        if name == "interp.cli":
            stop()

class Last:
    def __del__(self):
        stop()

def deadlock():
    mutex = ctypes.create_string_buffer(64)
    for _ in range(2):
        ctypes.CDLL(None).pthread_mutex_lock(mutex)

def swallowed():
    for _ in range(200):
        try:
            stop()
            time.sleep(0.05)
        except BaseException:
            pass

def renamed():
    try:
        stop()
        time.sleep(10)
    except BaseException:
        raise ImportError("numpy failed to import") from None

def native():
    threading.Timer(0.1, stop).start()
    deadlock()

{moment}
start.require_own_packages = shadowing.require_own_packages
start.main()
"""


@SIGNALS
@pytest.mark.parametrize("moment", MOMENTS)
def test_one_line_and_the_resume_command(moment, number):
    done = run_process("-c", PROGRAM.format(number=int(number), moment=MOMENTS[moment]))
    assert (done.code, done.stderr) == (130, LINE)


@SIGNALS
def test_a_command_that_is_done_keeps_its_exit_code(number):
    code = (
        "import os, sys; import interp.__main__ as start; sys.argv = ['interp', '--version']\n"
        "try: start.main()\n"
        f"finally: os.kill(os.getpid(), {int(number)})"
    )
    done = run_process("-c", code)
    assert (done.code, done.stdout[:6], done.stderr) == (0, "interp", "")


@SIGNALS
def test_a_second_signal_ends_a_step_that_does_not_end(number):
    code = (
        "import ctypes, os, threading\n"
        "from interp import interruption\n"
        "interruption._PATIENCE = 0.1\n"
        "interruption.end_at_once(lambda: 'stopped')\n"
        "with interruption.stop_signal() as stopped:\n"
        f"  stop = lambda: os.kill(os.getpid(), {int(number)})\n"
        "  stop(); assert stopped(); print('goes on', flush=True)\n"
        "  threading.Timer(0.1, stop).start(); mutex = ctypes.create_string_buffer(64)\n"
        "  for _ in range(2): ctypes.CDLL(None).pthread_mutex_lock(mutex)"
    )
    done = run_process("-c", code)
    assert (done.code, done.stdout, done.stderr) == (130, "goes on\n", "stopped\n")


@SIGNALS
def test_a_signal_that_nobody_acted_on_is_not_forgotten(number):
    handler = signal.getsignal(number)
    scope = stop_signal()
    stopped = scope.__enter__()
    os.kill(os.getpid(), number)
    assert stopped()
    with pytest.raises(Interrupted):
        scope.__exit__(None, None, None)
    assert signal.getsignal(number) is handler


def test_a_forked_process_has_its_own_signals():
    code = (
        "import os, signal; from interp.interruption import end_at_once\n"
        "end_at_once(lambda: 'stopped')\n"
        "child = os.fork()\n"
        "if child == 0: os.kill(os.getpid(), signal.SIGTERM)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    done = run_process("-c", code)
    assert (done.code, done.stdout, done.stderr) == (0, f"{-signal.SIGTERM}\n", "")


def test_the_resume_command_shows_no_control_character():
    assert resume_command(["lens", "--fresh", "--out", "a\x1b[2Jb"]) == "interp lens --out 'a\\x1b[2Jb'"
