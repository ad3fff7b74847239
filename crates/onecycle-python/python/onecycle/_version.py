"""The version of the package."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("onecycle")
except PackageNotFoundError:  # imported from a source tree
    __version__ = "unknown"
