import numpy as np

from kerasdml.callbacks.thumbnails import embed_with_thumbnails


def test_takes_no_more_examples_than_asked(plain_model, images):
    taken = []

    def batches():
        for start in range(0, 24, 5):
            taken.append(start)
            yield images[0][start : start + 5], images[1][start : start + 5]

    embeddings, labels, small = embed_with_thumbnails(plain_model, batches(), 4, 12)
    np.testing.assert_array_equal(labels, images[1][:12])
    np.testing.assert_allclose(
        embeddings, plain_model.predict(images[0][:12], verbose=0), rtol=1e-5
    )
    assert small.shape == (12, 4, 3, 3)
    assert taken == [0, 5, 10], "the data is not drawn upon beyond the last example"
