"""How far a run has come, in a terminal or a notebook."""

from __future__ import annotations

import sys
from typing import Any


class Progress:
    """One line that is written over: by a carriage return in a terminal and in a notebook, else a line an epoch."""

    def __init__(self) -> None:
        self._out = sys.stderr
        self.is_live = _is_notebook() or _is_terminal(self._out)
        self._length = 0

    def __call__(self, event: str, fields: dict[str, Any]) -> None:
        if event == "step" and self.is_live:
            done = 100 * fields["step"] // max(fields["total_steps"], 1)
            self._over(
                f"epoch {fields['epoch']}/{fields['epochs']}  {done:3d} %  {_scores(fields, '')}"
                f"  {fields['remaining_seconds']:.0f} s left"
            )
        elif event == "epoch":
            scores = _scores(fields, "train_")
            if fields["validation_loss"] is not None:
                scores += f"  validation {_scores(fields, 'validation_')}"
            self._line(f"epoch {fields['epoch']}/{fields['epochs']}  {scores}")
        elif event == "evaluated" and self.is_live:
            self._over(f"scoring {fields['done']}/{fields['total']}")
        elif event == "warning":
            self._line(f"warning: {fields['text']}")

    def close(self) -> None:
        """Takes the line away."""
        if self._length:
            self._write("\r" + " " * self._length + "\r")
            self._length = 0

    def _over(self, text: str) -> None:
        self._write("\r" + text.ljust(self._length))
        self._length = len(text)

    def _line(self, text: str) -> None:
        self.close()
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        # Progress that nobody can see is no reason to fail.
        try:
            self._out.write(text)
            self._out.flush()
        except (OSError, ValueError, AttributeError):
            self.is_live = False


def _scores(fields: dict[str, Any], prefix: str) -> str:
    text = f"loss {fields[prefix + 'loss']:.4f}"
    accuracy = fields[prefix + "accuracy"]
    return text if accuracy is None else f"{text}  {100 * accuracy:.2f} %"


def _is_terminal(out: Any) -> bool:
    try:
        return bool(out.isatty())
    except (AttributeError, ValueError):
        return False


def _is_notebook() -> bool:
    shell = sys.modules.get("IPython")
    if shell is None:
        return False
    current = shell.get_ipython()
    return current is not None and type(current).__name__ == "ZMQInteractiveShell"
