"""Where a search is kept: a file of SQLite, a journal, or a database server that many machines share."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sanoscope.errors import ModelError, OptionError
from sanoscope.selection.results import CRITERIA

JOURNAL = "journal://"
SETTINGS = "settings"
# A process that gives no sign of life for this long is taken for dead.
GRACE_SECONDS = 120
# How long a process waits for another to have written to a file, and how often it tries to open one.
LOCK_SECONDS, ATTEMPTS = 60, 5

UNUSABLE = (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, ImportError, ValueError, RuntimeError)

WhenDead = Callable[[optuna.Study, optuna.trial.FrozenTrial], None]


def open_study(
    url: str, name: str, settings: Mapping[str, Any], when_dead: WhenDead, grace: int = GRACE_SECONDS
) -> optuna.Study:
    """The search of this name, begun where there is none yet.

    Args:
        url: ``sqlite:///FILE``, ``journal://FILE``, or a database server's, as SQLAlchemy takes it.
        name: Of the search.
        settings: What all its processes must have in common, fit for JSON.
        when_dead: Called with the trial of a process that gives no sign of life; a journal tells of none.
        grace: Seconds without one.

    Raises:
        OptionError: If the storage cannot be opened.
        ModelError: If it holds a search of this name with other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR + 1)
    direction = StudyDirection.MAXIMIZE if settings["criterion"] == CRITERIA[0] else StudyDirection.MINIMIZE
    for attempt in range(ATTEMPTS):
        try:
            storage = _storage(url, when_dead, grace)
            study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
            break
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, OSError, ImportError, ValueError) as error:
            # Two processes that make the tables at once get into each other's way, once.
            if attempt + 1 == ATTEMPTS or isinstance(error, ArgumentError | OSError | ImportError):
                raise OptionError(f"--storage {shown(url)}: cannot be opened ({_reason(error)})") from error
            time.sleep(0.1 * (attempt + 1))
    if SETTINGS not in study.user_attrs:
        study.set_user_attr(SETTINGS, dict(settings))
    require_same(study.user_attrs[SETTINGS], settings, f"{shown(url)}, search '{name}'")
    return study


def require_same(before: Mapping[str, Any], now: Mapping[str, Any], where: str) -> None:
    """Refuse to mix two searches.

    Raises:
        ModelError: Names the first setting that differs.
    """
    now = json.loads(json.dumps(now))
    for name in now:
        if before.get(name) != now[name]:
            raise ModelError(
                f"{where}: was begun with {_difference(name, before.get(name), now[name])}; "
                "go on with the same, or begin anew with another --study and --out"
            )


def _difference(name: str, before: Any, now: Any) -> str:
    """What is not the same, for options the first of them."""
    if isinstance(before, dict) and isinstance(now, dict):
        first = next(key for key in {**before, **now} if before.get(key) != now.get(key))
        return _difference(first, before.get(first), now.get(first))
    before, now = (json.dumps(value, ensure_ascii=False) for value in (before, now))
    return f"other {name}" if len(before + now) > 200 else f"{name} {before}, not {now}"


def _storage(url: str, when_dead: WhenDead, grace: int) -> BaseStorage:
    if url.startswith(JOURNAL):
        file = Path(url.removeprefix(JOURNAL)).absolute()
        file.parent.mkdir(parents=True, exist_ok=True)
        return JournalStorage(JournalFileBackend(str(file)))
    arguments = {"timeout": LOCK_SECONDS} if make_url(url).get_backend_name() == "sqlite" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RDBStorage(
            url,
            engine_kwargs={"connect_args": arguments, "pool_pre_ping": True},  # a server ends idle connections
            heartbeat_interval=max(grace // 4, 1),
            grace_period=grace,
            heartbeat_stale_trial_callback=when_dead,
        )


def shown(url: str) -> str:
    """The URL without a password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def _reason(error: Exception) -> str:
    return str(error.__cause__ or error).splitlines()[0]
