"""Ctrl-C and SIGTERM: noted when they come, acted upon between two steps. Not here: what a run does then."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import NoReturn

from workshop.processes import max_over_processes, world_size


@contextlib.contextmanager
def signals_noted() -> Iterator[list[int]]:
    """Within: the first Ctrl-C or SIGTERM is only noted in the list; a second one acts at once
    (not under torchrun, which may send the first one twice)."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals there alone
        yield noted
        return

    def note(number: int, _frame: object) -> None:
        noted.append(number)
        if world_size() == 1:  # torchrun may well send the same signal again
            signal.signal(number, before[number])

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, note)
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def agree_to_stop(noted: list[int]) -> int:
    """The signal that ends the run after this step, 0 for none; the same answer in every process."""
    return max_over_processes(noted[0] if noted else 0)


def end_by(number: int) -> NoReturn:
    """End as a process ends that the signal has stopped: KeyboardInterrupt, or exit code 128 + number."""
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
