"""Every error a caller of this package may see. Each message is one full sentence or two: what was wrong, what is
allowed, what to do. Pages show it, the command line prints it to standard error and exits 2."""


class CalculatorError(Exception):
    """Base of all errors raised on purpose; the message is meant for the user."""


class ConfigError(CalculatorError):
    """A configuration lacks a field, or a field has a value no model can be built from."""


class UnknownModelTypeError(ConfigError):
    """No family is registered for the configuration's model_type."""


class WorkloadError(CalculatorError):
    """A mode, batch size, length, precision or option outside what is allowed."""


class SourceError(CalculatorError):
    """A model source that is neither a bundled name, a Hub id or URL, a path, nor a configuration."""


class HubError(CalculatorError):
    """The Hugging Face Hub did not give the file; the subclasses say why."""


class ModelNotFoundError(HubError):
    """The Hub knows no such repository or revision, or it is private and the token does not open it."""


class GatedModelError(HubError):
    """The repository is gated: its licence must be accepted and a token sent."""


class MissingFileError(HubError):
    """The repository exists but holds no such file."""


class HubUnreachableError(HubError):
    """No network, a timeout, a rate limit or a server fault; a later try may succeed."""


class CheckpointError(CalculatorError):
    """A checkpoint's files break the rules of their format, or do not belong together."""


class DeviceError(CalculatorError):
    """A device, a number of devices or a way to divide a model over them that does not exist or cannot work."""


class MissingExtraError(CalculatorError):
    """A function needs a package that a bare installation does not bring; the sentence names the extra."""
