"""Follows a file of records, one emitted token a line, and tells a monitor about each. Nothing is counted twice."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from ..errors import BadInput
from ..monitor import Monitor, write_whole
from ..strangers import Count, parse_json, read_text, reading

STDIN = "-"
# A record holds four numbers. What is longer than this is no record.
_LONGEST = 1 << 20
# The state is saved after this many lines, and after this many seconds.
_EVERY_LINES, _EVERY_SECONDS = 10_000, 5.0
_PAUSE = 0.2
# So many bytes of its beginning are remembered.
_HEAD = 1_024


class Position(msgspec.Struct):
    """How far a file was read: up to a byte, after a number of lines. ``head`` is the SHA-256 of at most 1,024 bytes before it."""

    offset: Count = 0
    lines: Count = 0
    head: str = ""


class _State(msgspec.Struct):
    """What a state file holds besides the fields of a monitor. A state that ``Monitor.save`` wrote holds no position."""

    position: Position = msgspec.field(default_factory=Position)


class Watch:
    """A monitor, and what it was told about so far.

    Args:
        source: the file of records, or ``-`` for the standard input.
        alpha, slack: see :class:`exactness.Monitor`. If there is a state, they are those of the state.
        state: the file that keeps the monitor and the position. It is read if it is there. A kill at any moment leaves a state
            whose monitor was told about exactly the lines before its position.
        files: what else to keep up to date: by file, the text that is made of the monitor.
        follow: whether to wait for more lines at the end of the file.
        wait: what waits for a number of seconds.
        say: what tells a person something.

    Raises:
        BadInput: if the file or the state cannot be used.
    """

    def __init__(
        self,
        source: str,
        *,
        alpha: float | None = None,
        slack: float | None = None,
        state: Path | None = None,
        files: Mapping[Path, Callable[[Monitor], str]] | None = None,
        follow: bool = False,
        wait: Callable[[float], object] = time.sleep,
        say: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.source, self.state, self.files, self.follow, self.wait, self.say = source, state, files or {}, follow, wait, say
        self.position = Position()
        # The first bytes of what was read.
        self._begun: bytes | None = None
        chosen = {name: value for name, value in (("alpha", alpha), ("slack", slack)) if value is not None}
        if state is not None and state.exists():
            data = read_text(state, "the state of a monitor")
            self.monitor = Monitor.of_state(parse_json(data, dict, str(state), "the state of a monitor"), str(state))
            self.position = parse_json(data, _State, str(state), "the state of a monitor").position
            for name, value in chosen.items():
                if value != (held := getattr(self.monitor, name)):
                    raise BadInput(
                        f"{state} was begun with {name} = {held:g}, not {value:g}: leave --{name} out, or name another state. "
                        "Alpha is promised for a whole lifetime"
                    )
        else:
            self.monitor = Monitor(chosen.get("alpha", 1e-6), **{k: v for k, v in chosen.items() if k == "slack"})
        self._saved_lines, self._saved_at = self.position.lines, time.monotonic()

    def run(self) -> Monitor:
        """Read until the alarm is raised, or to the end; with ``follow``, until ``KeyboardInterrupt``. The state is then saved.

        Raises ``BadInput`` with the number of the line that is no record. The lines before it are kept.
        """
        try:
            if self.monitor.alarm is None:
                self._read_stdin() if self.source == STDIN else self._read_file(Path(self.source))
        except KeyboardInterrupt:
            self.say("stopped")
        finally:
            self.save()
        return self.monitor

    def save(self) -> None:
        """Write the state and the other files. A kill leaves the old files."""
        self._mark()
        if self.state is not None:
            held = {**self.monitor.state(), "position": msgspec.structs.asdict(self.position)}
            write_whole(self.state, msgspec.json.encode(held))
        for path, text in self.files.items():
            write_whole(path, text(self.monitor).encode())
        self._saved_lines, self._saved_at = self.position.lines, time.monotonic()

    def _mark(self) -> None:
        if self._begun is not None:
            self.position.head = hashlib.sha256(self._begun).hexdigest()

    def _read_stdin(self) -> None:
        # What comes is new.
        self.position, self._begun = Position(), b""
        while self.monitor.alarm is None and (line := sys.stdin.buffer.readline(_LONGEST)):
            self._take(line)
            self._save_now_and_then()

    def _read_file(self, path: Path) -> None:
        while self.follow and not path.exists():
            self.wait(_PAUSE)
        stream, gone = self._opened(path), False
        try:
            while self.monitor.alarm is None:
                line = stream.readline(_LONGEST)
                if line.endswith(b"\n") or len(line) == _LONGEST or (line and not self.follow and self._is_whole(line)):
                    self._take(line)
                    self._save_now_and_then()
                    continue
                # The end, or the beginning of a line that is being written.
                stream.seek(self.position.offset)
                if self.follow:
                    # What the engine wrote just before the file was replaced is read first.
                    if gone and not line:
                        self._mark()
                        stream.close()
                        stream, gone = self._opened(path), False
                        continue
                    gone = _replaced(path, stream)
                    self._save_now_and_then()
                    self.wait(_PAUSE)
                    continue
                if line and self.state is None:
                    raise BadInput(f"{path.name}, line {self.position.lines + 1}: it is cut short, and no record")
                return
        finally:
            stream.close()

    def _opened(self, path: Path) -> IO[bytes]:
        """The file at the position, or at its beginning if it is another file than the one that was read before."""
        with reading(str(path)):
            stream = path.open("rb")
        # Its first bytes tell a file from the one that took its place.
        first = stream.read(min(self.position.offset, _HEAD))
        if self.position.offset and self.position.head != hashlib.sha256(first).hexdigest():
            self.say(f"{path.name} is not the file that was read before: reading it from its beginning")
            self.position, first = Position(), b""
        self._begun = first
        size = os.fstat(stream.fileno()).st_size
        if size < self.position.offset:
            stream.close()
            raise BadInput(
                f"{path.name} has {size} bytes, and {self.position.offset} of it were read before: it was cut; give it back, or "
                "name another file"
            )
        stream.seek(self.position.offset)
        return stream

    def _is_whole(self, line: bytes) -> bool:
        """Whether the last line, which no line feed ends, is a record all the same. A part of one never is."""
        try:
            return isinstance(json.loads(line), dict)
        except (ValueError, RecursionError):
            return False

    def _take(self, line: bytes) -> None:
        """Tell the monitor about one line. Blank ones say nothing."""
        if line.strip():
            try:
                self.monitor.add_all([_record(line)])
            except BadInput as error:
                said = str(error).removeprefix("record 1: ")
                name = "the standard input" if self.source == STDIN else Path(self.source).name
                raise BadInput(f"{name}, line {self.position.lines + 1}: {said}") from None
        begun = self._begun or b""
        self._begun = begun + line[: _HEAD - len(begun)]
        self.position.offset += len(line)
        self.position.lines += 1

    def _save_now_and_then(self) -> None:
        lines = self.position.lines - self._saved_lines
        if lines >= _EVERY_LINES or (lines and time.monotonic() - self._saved_at >= _EVERY_SECONDS):
            self.save()


def _record(line: bytes) -> Any:
    if len(line) >= _LONGEST:
        raise BadInput(f"it is longer than {_LONGEST >> 20} MiB, and no record")
    try:
        # Python writes -Infinity, which is no JSON but common.
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"it is no JSON: {error}") from None


def _replaced(path: Path, stream: IO[bytes]) -> bool:
    """Whether another file has taken the place of the open one, or it was emptied."""
    try:
        now, held = path.stat(), os.fstat(stream.fileno())
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) != (held.st_dev, held.st_ino) or now.st_size < stream.tell()
