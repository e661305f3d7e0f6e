"""What callbacks refuse before training starts, rather than after an epoch of it."""


def check_at_least_one(**values):
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value}.")


def check_neighbours(k, data):
    """Checks that `k` others can be listed for every example.

    Only arrays tell their length now; other data is checked once it is embedded.
    """
    check_at_least_one(k=k)
    if isinstance(data, tuple) and k >= len(data[0]):
        raise ValueError(
            "`k` must be smaller than the number of examples, since none is its own "
            f"neighbour. Received: k={k} for {len(data[0])} examples."
        )


def check_gallery(k, gallery):
    """Checks that `k` items can be listed of a gallery; of arrays, as above."""
    check_at_least_one(k=k)
    if isinstance(gallery, tuple) and k > len(gallery[0]):
        raise ValueError(
            "`k` must not be larger than the gallery. "
            f"Received: k={k} for a gallery of {len(gallery[0])} examples."
        )
