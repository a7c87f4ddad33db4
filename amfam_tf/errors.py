"""Errors that a user can cause: each is one line that says what is wrong, where, and what to do."""


class UserError(Exception):
    """Base of every error that the command line prints as one line, without a traceback."""


class ConfigError(UserError):
    """A configuration key that does not exist or a value that cannot be."""


class DataError(UserError):
    """A data set, file or row that cannot be used; the message names it."""


class WeightsError(UserError):
    """A weight file that is missing or does not fit the model."""


class RunError(UserError):
    """A run folder that cannot be used: locked, of another configuration, or unfinished."""


class ExportError(UserError):
    """A model that cannot be exported, or an exported folder that is damaged; the message names it."""


class QueryError(UserError):
    """A server that cannot be reached or refuses the request; the message is the server's own."""


class EngineError(UserError):
    """An engine that runs a pipeline is not installed or has failed; the message says which step and why."""


def one_line(error: BaseException) -> str:
    """Returns the message of an error in one line, its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__
