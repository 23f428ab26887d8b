"""The command groups of `borderflow`, one module each, imported only when their command is called."""


class CommandRefusedError(Exception):
    """What the user asked for cannot be done; the message is one line that names the setting, field or file.

    The command line prints the message without a traceback and exits with 2.
    """
