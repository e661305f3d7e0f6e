"""Drawing of images and their neighbours, for callbacks and reports."""
