"""What PyTorch logs."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident


@contextmanager
def quiet() -> Iterator[None]:
    """Keep PyTorch from logging, in this thread alone, what it has to say to its own developers."""
    named = list(logging.root.manager.loggerDict.items())
    loggers = [entry for name, entry in named if name.split(".")[0] == "torch" and isinstance(entry, logging.Logger)]
    thread = get_ident()

    def is_of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    try:
        for logger in loggers:
            logger.addFilter(is_of_others)
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_of_others)
