"""The one error of both ends: the server answers it, the client raises it."""


class ServingError(Exception):
    """A request that the server could not answer, and why.

    Args:
        status: HTTP status: 4xx where the request is at fault, 5xx where the server is.
        message: What was wrong with it, in the words of the server.

    Example:

    >>> raise ServingError(404, "Unknown model 'birds'. This server has 'cub200'.")
    """

    def __init__(self, status: int, message: str):
        super().__init__(status, message)
        self.status = status
        self.message = message

    def __str__(self):
        return f"{self.message} (HTTP {self.status})"
