"""What judges a function: the server of trial processes has the modules of this folder loaded, and these as well.

Each trial would import them anew.
"""

from .checks import battery  # noqa: F401
