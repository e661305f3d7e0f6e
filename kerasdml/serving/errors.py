"""The one error of both ends: the server answers it, the client raises it."""

# gRPC's code for each HTTP status, as TF Serving pairs them, in the order in which the
# first of several statuses is taken back.
GRPC_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    413: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class ServingError(Exception):
    """A request that the server could not answer, and why.

    Args:
        status: HTTP status, or that of the same meaning where gRPC was spoken: 4xx
            where the request is at fault, 5xx where the server is.
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
