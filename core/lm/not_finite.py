"""Numbers that are not finite end a training where they are first seen."""


class NotFinite(ArithmeticError):
    """A probability, a loss or a gradient is not finite; the message says which, and at which step."""
