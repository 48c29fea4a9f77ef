"""The command line: `losslab COMMAND`. Exit codes: 0 done, 1 failed, 2 bad input, 3 stopped by the budget (run again to go on)."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

DONE, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; whatever goes wrong becomes one line and an exit code."""
    from losslab.cli.app import app
    from losslab.errors import InputError

    try:
        code = app(args=list(arguments) if arguments is not None else None, prog_name="losslab", standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except InputError as problem:
        return _fail(str(problem), BAD_INPUT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return _fail("interrupted; what was finished is kept", 130)
    except Exception as problem:
        if type(problem).__name__ == "ValidationError" and hasattr(problem, "errors"):
            from losslab.params import explain

            return _fail(explain(problem), BAD_INPUT)  # type: ignore[arg-type]
        if type(problem).__name__ == "NotebookFailed":
            return _fail(str(problem), FAILED)
        if hasattr(problem, "format_message") and hasattr(problem, "exit_code"):  # a usage error of the command line
            return _fail(problem.format_message(), BAD_INPUT, hint=True)
        if type(problem).__name__ == "Abort":
            return _fail("interrupted", 130)
        import traceback

        traceback.print_exc()
        return _fail(f"unexpected {type(problem).__name__}: {problem}", FAILED)


def _fail(message: str, code: int, *, hint: bool = False) -> int:
    line = " ".join(message.split())
    if not line:  # the help text was shown
        return code
    print(f"error: {line}" + ("" if not hint else " (losslab --help shows how)"), file=sys.stderr)
    return code
