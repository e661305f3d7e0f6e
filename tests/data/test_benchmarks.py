"""Small trees in the official layouts."""

import importlib
import sys

import numpy as np
import pytest

from kerasdml.data import load_benchmark


def write(root, files):
    """Writes text files by name; images are names alone."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def relative(pack, root):
    return [image.removeprefix(f"{root}/") for image in pack.images]


def cub(root):
    # Images 2 and 3 are listed with their classes the other way round.
    return write(
        root,
        {
            "images.txt": "1 001.Auk/Auk_1.jpg\n2 101.Owl/Owl_1.jpg\n3 100.Jay/J.jpg\n",
            "image_class_labels.txt": "1 1\n3 100\n2 101\n",
            "classes.txt": "".join(f"{i} {i:03}.Bird\n" for i in range(1, 201)),
            "images/001.Auk/Auk_1.jpg": "",
            "images/101.Owl/Owl_1.jpg": "",
        },
    )


def test_cub(tmp_path):
    pack = load_benchmark("cub200_2011", cub(tmp_path), check=False)
    assert relative(pack, tmp_path / "images") == [
        "001.Auk/Auk_1.jpg",
        "101.Owl/Owl_1.jpg",
        "100.Jay/J.jpg",
    ]
    assert list(pack.class_names[pack.labels]) == ["001.Bird", "101.Bird", "100.Bird"]
    assert list(pack.split) == [0, 1, 0] and len(pack.class_names) == 200


def matlab(file, rows, **arrays):
    """Writes `annotations`, a struct array as MATLAB has it: 1 × n, all cells."""
    savemat = pytest.importorskip("scipy.io").savemat
    annotations = np.empty((1, len(rows)), [(name, object) for name in rows[0]])
    for i, row in enumerate(rows):
        annotations[0, i] = tuple(row.values())
    file.parent.mkdir(exist_ok=True)
    savemat(file, {"annotations": annotations, **arrays})


CARS = np.array([f"Car {i}" for i in range(1, 197)], object)


@pytest.mark.parametrize("classes", [[98, 99, 1], [99]])
def test_cars_in_one_folder(tmp_path, classes):
    rows = [
        {"relative_im_path": f"car_ims/{i:06}.jpg", "bbox_x1": 7, "class": c, "test": 0}
        for i, c in enumerate(classes)
    ]
    matlab(tmp_path / "cars_annos.mat", rows, class_names=CARS)
    pack = load_benchmark("cars196", tmp_path, check=False)
    names = ["car_ims/000000.jpg", "car_ims/000001.jpg", "car_ims/000002.jpg"]
    assert relative(pack, tmp_path) == names[: len(classes)]
    assert list(pack.class_names[pack.labels]) == [f"Car {c}" for c in classes]
    assert list(pack.split) == [int(c > 98) for c in classes]


def test_cars_in_two_folders_are_split_by_class_all_the_same(tmp_path):
    train = [{"class": 120, "fname": "1.jpg"}, {"class": 3, "fname": "2.jpg"}]
    matlab(tmp_path / "devkit/cars_train_annos.mat", train)
    test = [{"class": 3, "fname": "1.jpg"}]
    matlab(tmp_path / "cars_test_annos_withlabels.mat", test)
    matlab(tmp_path / "devkit/cars_meta.mat", train, class_names=CARS)
    pack = load_benchmark("cars196", tmp_path, check=False)
    images = ["cars_train/1.jpg", "cars_train/2.jpg", "cars_test/1.jpg"]
    assert relative(pack, tmp_path) == images
    assert list(pack.labels) == [119, 2, 2] and list(pack.split) == [1, 0, 0]


def test_cars_say_how_matlab_files_are_read(tmp_path, monkeypatch):
    write(tmp_path, {"cars_annos.mat": ""})
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImportError, match=r"pip install kerasdml\[cars\]"):
        load_benchmark("cars196", tmp_path)


def products(root, test_class=11319):
    header = "image_id class_id super_class_id path\n"
    return write(
        root,
        {
            "Ebay_train.txt": header
            + "1 1 1 bicycle_final/11_0.JPG\n2 1 1 bicycle_final/11_1.JPG\n"
            + "3 2 12 toaster_final/12_0.JPG\n",
            "Ebay_test.txt": header + f"4 {test_class} 12 toaster_final/13_0.JPG\n",
        },
    )


def test_online_products(tmp_path):
    pack = load_benchmark("stanford_online_products", products(tmp_path), check=False)
    assert relative(pack, tmp_path)[1:3] == [
        "bicycle_final/11_1.JPG",
        "toaster_final/12_0.JPG",
    ]
    assert list(pack.labels) == [0, 0, 1, 2] and list(pack.split) == [0, 0, 0, 1]
    assert list(pack.class_names) == ["1", "2", "11319"]
    assert list(pack.fields["coarse_labels"]) == [0, 0, 11, 11]


SHOP = """4
image_name item_id evaluation_status
img/WOMEN/Tees/id_00000002/02_1_front.jpg      id_00000002 train
img/WOMEN/Tees/id_00000001/02_1_front.jpg      id_00000001 query
img/WOMEN/Tees/id_00000001/02_2_side.jpg       id_00000001 gallery
img/MEN/Denim/id_00000080/01_1_front.jpg       id_00000080 gallery
"""


@pytest.mark.parametrize(
    "where, images",
    [("list_eval_partition.txt", ""), ("Eval/list_eval_partition.txt", "Img/")],
)
def test_in_shop_has_queries_and_a_gallery(tmp_path, where, images):
    image = "img/WOMEN/Tees/id_00000002/02_1_front.jpg"
    write(tmp_path, {where: SHOP, images + image: ""})
    pack = load_benchmark("in_shop", tmp_path, check=False)
    assert relative(pack, tmp_path)[0] == images + image
    assert list(pack.fields["role"]) == ["train", "query", "gallery", "gallery"]
    assert list(pack.split) == [0, 1, 1, 1] and list(pack.labels) == [0, 1, 1, 2]
    assert list(pack.class_names) == ["id_00000002", "id_00000001", "id_00000080"]


def test_omniglot(tmp_path):
    files = [
        "images_background/Greek/character01/0394_01.png",
        "images_background/Greek/character02/0395_20.png",
        "images_background/Latin/character01/0683_02.png",
        "images_evaluation/Angelic/character01/0965_01.png",
    ]
    pack = load_benchmark("omniglot", write(tmp_path, dict.fromkeys(files, "")), False)
    assert relative(pack, tmp_path) == files
    assert list(pack.class_names[pack.labels[[1, 3]]]) == [
        "Greek/character02",
        "Angelic/character01",
    ]
    assert list(pack.labels) == [0, 1, 2, 3] and list(pack.split) == [0, 0, 0, 1]
    assert list(pack.fields["alphabet_labels"]) == [0, 0, 1, 2]
    assert list(pack.fields["drawer"]) == [1, 20, 2, 1]


@pytest.mark.parametrize(
    "name, missing",
    [
        ("cub200_2011", "images.txt, image_class_labels.txt, classes.txt, images"),
        ("cars196", "cars_annos.mat"),
        ("stanford_online_products", "Ebay_train.txt, Ebay_test.txt"),
        ("in_shop", "Eval/list_eval_partition.txt"),
        ("omniglot", "images_background, images_evaluation"),
    ],
)
def test_names_the_official_files_that_are_missing(tmp_path, name, missing):
    with pytest.raises(FileNotFoundError, match=f"lacks {missing}. `path` must be"):
        load_benchmark(name, tmp_path)


def test_names_the_files_of_cars_in_two_folders(tmp_path):
    write(tmp_path, {"devkit/cars_train_annos.mat": ""})
    with pytest.raises(FileNotFoundError, match="withlabels.mat, devkit/cars_meta.mat"):
        load_benchmark("cars196", tmp_path)


def test_omniglot_without_drawings(tmp_path):
    write(
        tmp_path, {f"images_{x}/images.zip": "" for x in ("background", "evaluation")}
    )
    with pytest.raises(FileNotFoundError, match="background' must have a folder for e"):
        load_benchmark("omniglot", tmp_path)


def test_names_the_images_that_are_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="1 of 3 images are missing.*J.jpg"):
        load_benchmark("cub200_2011", cub(tmp_path))


@pytest.mark.parametrize(
    "name, images, classes",
    [
        ("cub200_2011", 11788, 200),
        ("cars196", 16185, 196),
        ("stanford_online_products", 120053, 22634),
        ("in_shop", 52712, 7982 + 3985),  # Classes of queries have a gallery too.
        ("omniglot", 32460, 1623),
    ],
)
def test_the_parts_sum_to_the_published_totals(name, images, classes):
    parts = importlib.import_module(f"kerasdml.data.benchmarks.{name}").COUNTS
    assert tuple(map(sum, zip(*parts.values(), strict=True))) == (images, classes)


def test_a_benchmark_with_the_official_numbers_passes(tmp_path, monkeypatch):
    counts = {"train": (1, 1), "query": (1, 1), "gallery": (2, 2)}
    monkeypatch.setattr("kerasdml.data.benchmarks.in_shop.COUNTS", counts)
    names = [line.split()[0] for line in SHOP.splitlines()[2:]]
    write(tmp_path, {"list_eval_partition.txt": SHOP, **dict.fromkeys(names, "")})
    assert len(load_benchmark("in_shop", tmp_path)) == 4


def test_compares_with_the_official_numbers(tmp_path):
    write(cub(tmp_path), {"images/100.Jay/J.jpg": ""})
    message = (
        "train has 2 images of 2 classes instead of 5864 of 100; "
        "test has 1 images of 1 classes instead of 5924 of 100"
    )
    with pytest.raises(ValueError, match=message):
        load_benchmark("cub200_2011", tmp_path)


def test_in_shop_counts_queries_and_gallery_apart(tmp_path):
    names = [line.split()[0] for line in SHOP.splitlines()[2:]]
    write(tmp_path, {"list_eval_partition.txt": SHOP, **dict.fromkeys(names, "")})
    with pytest.raises(ValueError, match="query has 1 .*; gallery has 2 .* of 3985"):
        load_benchmark("in_shop", tmp_path)


def test_rejects_a_class_on_both_sides(tmp_path):
    root = products(tmp_path, test_class=2)
    with pytest.raises(ValueError, match="On both sides are 1, the first: 2"):
        load_benchmark("stanford_online_products", root, check=False)


def test_names_the_line_that_is_not_in_the_official_form(tmp_path):
    write(products(tmp_path), {"Ebay_test.txt": "header\n4 11319 13_0.JPG\n"})
    with pytest.raises(
        ValueError, match="Line 2 of .*Ebay_test.txt' must have 4 words"
    ):
        load_benchmark("stanford_online_products", tmp_path)


def test_rejects_a_list_of_nothing(tmp_path):
    write(tmp_path, {"list_eval_partition.txt": "0\nimage_name item_id status\n"})
    with pytest.raises(ValueError, match="partition.txt' lists nothing"):
        load_benchmark("in_shop", tmp_path)


def test_rejects_a_role_it_does_not_know(tmp_path):
    write(tmp_path, {"list_eval_partition.txt": SHOP.replace("query", "val")})
    with pytest.raises(ValueError, match="train, query, gallery. Received: val"):
        load_benchmark("in_shop", tmp_path, check=False)


def test_rejects_an_image_without_a_class(tmp_path):
    write(cub(tmp_path), {"image_class_labels.txt": "1 1\n2 101\n"})
    with pytest.raises(ValueError, match="no class for 1 images.*the first: 3"):
        load_benchmark("cub200_2011", tmp_path)


def test_rejects_a_name_it_does_not_know(tmp_path):
    with pytest.raises(ValueError, match="must be one of 'cars196'.*Received: 'cub'"):
        load_benchmark("cub", tmp_path)
