"""Names of classes."""


def class_names_of(labels, class_names):
    """Returns the names of labels, or the labels as text where there are no names."""
    if class_names is None:
        return [
            label.decode() if isinstance(label, bytes) else str(label)
            for label in labels
        ]
    return [str(class_names[label]) for label in labels]
