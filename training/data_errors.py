"""What can be wrong with data."""


class DataError(Exception):
    """Data that is missing or not what it should be: one sentence, with what to do."""
