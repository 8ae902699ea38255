"""The command `stillwatch`: all commands put together, and every error turned into a message and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from typing import Any, Final

import click

from stillwatch.cli.baseline import baseline
from stillwatch.cli.decide import decide
from stillwatch.cli.decisions import decisions
from stillwatch.cli.demo import demo
from stillwatch.cli.explain import explain
from stillwatch.cli.guard import guard
from stillwatch.cli.ledger import ledger
from stillwatch.cli.lineage import lineage
from stillwatch.cli.output import say
from stillwatch.cli.policy import policy
from stillwatch.cli.replay import replay
from stillwatch.cli.scan import scan
from stillwatch.cli.simulate import simulate
from stillwatch.cli.stopped import Stopped
from stillwatch.cli.version import version
from stillwatch.errors import StillwatchError, UsageError

FAILURE: Final = 3
BY_SIGNAL: Final = 128  # and the signal's number, as a shell reports it
READER_GONE: Final = BY_SIGNAL + 13  # SIGPIPE


EXTRAS: Final = {  # packages that not everybody needs, and the extra that brings each
    **dict.fromkeys(("cel_expr_python", "httptools", "maxminddb", "uvicorn", "uvloop"), "guard"),
    **dict.fromkeys(("envoy", "google", "grpc"), "envoy"),
    "hiredis": "valkey",
    "psycopg": "postgres",
}


class _Commands(click.Group):
    """The commands, with every error turned into a message and an exit code in one place."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  the signature is click's
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt as interruption:
            say("interrupted; no findings were written")
            number = interruption.number if isinstance(interruption, Stopped) else signal.SIGINT
            raise click.exceptions.Exit(BY_SIGNAL + number) from None
        except BrokenPipeError:
            # a second failure when Python flushes at exit would print a traceback: let it flush into nothing
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(READER_GONE) from None
        except StillwatchError as error:
            say(f"error: {error}")
            raise click.exceptions.Exit(error.exit_code) from None
        except OSError as error:
            say(f"error: {error.filename or 'output'}: {(error.strerror or str(error)).lower()}")
            raise click.exceptions.Exit(FAILURE) from None
        except ModuleNotFoundError as error:
            extra = EXTRAS.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            say(f"error: this needs the package {error.name}: pip install 'stillwatch[{extra}]'")
            raise click.exceptions.Exit(UsageError.exit_code) from None
        except MemoryError:
            say("error: out of memory; --limit-memory makes a scan use the disk instead")
            raise click.exceptions.Exit(FAILURE) from None
        except Exception:  # noqa: BLE001  Python's exit code for it is 1, which here means `--fail-on`
            traceback.print_exc()
            say("error: this is a defect of stillwatch; please report it with the lines above")
            raise click.exceptions.Exit(FAILURE) from None
        return result


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 --fail-on is met, 2 wrong usage, 3 failure.",
)
@click.version_option(package_name="stillwatch", message="%(prog)s %(version)s")
def commands() -> None:
    """Find adversarial distillation in a model's request logs.

    Many accounts, one operator, one queue of prompts: stillwatch gathers accounts that act as one, judges
    which of these cohorts are campaigns, and shows the evidence. Start with: stillwatch demo
    """


for _command in (
    *(scan, explain, decide, decisions, ledger, guard, policy, replay, lineage),
    *(baseline, simulate, demo, version),
):
    commands.add_command(_command)
