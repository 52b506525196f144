"""Loads the checks in the server of trial processes, besides the modules of this folder.

Each trial would otherwise import them.
"""

from .checks import battery  # noqa: F401
