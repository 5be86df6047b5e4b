use super::{Published, PublishedFile, UnpackedFile};

macro_rules! mnist {
    ($name:literal, $size:literal, $sha256:literal, $plain:literal, $plain_sha256:literal) => {
        PublishedFile {
            name: concat!($name, ".gz"),
            size: $size,
            sha256: $sha256,
            mirrors: &[
                concat!(
                    "https://storage.googleapis.com/cvdf-datasets/mnist/",
                    $name,
                    ".gz"
                ),
                concat!(
                    "https://ossci-datasets.s3.amazonaws.com/mnist/",
                    $name,
                    ".gz"
                ),
            ],
            unpacked: &[UnpackedFile {
                path: $name,
                size: $plain,
                sha256: Some($plain_sha256),
            }],
            for_python: None,
        }
    };
}

macro_rules! fashion {
    ($name:literal, $size:literal, $sha256:literal, $plain:literal) => {
        PublishedFile {
            name: concat!($name, ".gz"),
            size: $size,
            sha256: $sha256,
            mirrors: &[
                concat!(
                    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                    $name,
                    ".gz"
                ),
                // Plain HTTP; the checksum below is what is trusted.
                concat!("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/", $name, ".gz"),
            ],
            unpacked: &[UnpackedFile {
                path: $name,
                size: $plain,
                sha256: None,
            }],
            for_python: None,
        }
    };
}

pub(super) static ALL: [Published; 4] = [
    Published {
        name: "mnist",
        title: "28×28 grey handwritten digits, 60 000 train and 10 000 test",
        licence: "CC BY-SA 3.0, Yann LeCun, Corinna Cortes, Christopher Burges",
        source: "http://yann.lecun.com/exdb/mnist/",
        files: &[
            mnist!(
                "train-images-idx3-ubyte",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                47_040_016,
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
            ),
            mnist!(
                "train-labels-idx1-ubyte",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                60_008,
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
            ),
            mnist!(
                "t10k-images-idx3-ubyte",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                7_840_016,
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
            ),
            mnist!(
                "t10k-labels-idx1-ubyte",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                10_008,
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
            ),
        ],
    },
    Published {
        name: "fashion-mnist",
        title: "28×28 grey pieces of clothing, 60 000 train and 10 000 test",
        licence: "MIT, Zalando SE",
        source: "https://github.com/zalandoresearch/fashion-mnist",
        files: &[
            fashion!(
                "train-images-idx3-ubyte",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                47_040_016
            ),
            fashion!(
                "train-labels-idx1-ubyte",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                60_008
            ),
            fashion!(
                "t10k-images-idx3-ubyte",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                7_840_016
            ),
            fashion!(
                "t10k-labels-idx1-ubyte",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                10_008
            ),
        ],
    },
    Published {
        name: "cifar-10",
        title: "32×32 colour photographs of 10 classes, 50 000 train and 10 000 test",
        licence: "none stated; research use with citation of Krizhevsky, \"Learning Multiple Layers of Features from Tiny Images\", 2009",
        source: "https://www.cs.toronto.edu/~kriz/cifar.html",
        files: &[PublishedFile {
            name: "cifar-10-binary.tar.gz",
            size: 170_052_171,
            sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            mirrors: &[
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
            ],
            unpacked: &[
                batch(
                    "cifar-10-batches-bin/data_batch_1.bin",
                    30_730_000,
                    "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
                ),
                batch(
                    "cifar-10-batches-bin/data_batch_2.bin",
                    30_730_000,
                    "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
                ),
                batch(
                    "cifar-10-batches-bin/data_batch_3.bin",
                    30_730_000,
                    "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
                ),
                batch(
                    "cifar-10-batches-bin/data_batch_4.bin",
                    30_730_000,
                    "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
                ),
                batch(
                    "cifar-10-batches-bin/data_batch_5.bin",
                    30_730_000,
                    "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
                ),
                batch(
                    "cifar-10-batches-bin/test_batch.bin",
                    30_730_000,
                    "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
                ),
            ],
            for_python: Some(&PublishedFile {
                name: "cifar-10-python.tar.gz",
                size: 170_498_071,
                sha256: "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                mirrors: &["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"],
                unpacked: &[
                    pickled("cifar-10-batches-py/data_batch_1", 31_035_704),
                    pickled("cifar-10-batches-py/data_batch_2", 31_035_320),
                    pickled("cifar-10-batches-py/data_batch_3", 31_035_999),
                    pickled("cifar-10-batches-py/data_batch_4", 31_035_696),
                    pickled("cifar-10-batches-py/data_batch_5", 31_035_623),
                    pickled("cifar-10-batches-py/test_batch", 31_035_526),
                ],
                for_python: None,
            }),
        }],
    },
    Published {
        name: "cifar-100",
        title: "32×32 colour photographs of 100 classes, 50 000 train and 10 000 test",
        licence: "none stated; research use with citation of Krizhevsky, \"Learning Multiple Layers of Features from Tiny Images\", 2009",
        source: "https://www.cs.toronto.edu/~kriz/cifar.html",
        files: &[PublishedFile {
            name: "cifar-100-binary.tar.gz",
            size: 168_513_733,
            sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            mirrors: &["https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"],
            unpacked: &[
                batch(
                    "cifar-100-binary/train.bin",
                    153_700_000,
                    "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
                ),
                batch(
                    "cifar-100-binary/test.bin",
                    30_740_000,
                    "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a",
                ),
            ],
            for_python: Some(&PublishedFile {
                name: "cifar-100-python.tar.gz",
                size: 169_001_437,
                sha256: "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                mirrors: &["https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"],
                unpacked: &[
                    pickled("cifar-100-python/train", 155_249_918),
                    pickled("cifar-100-python/test", 31_049_908),
                ],
                for_python: None,
            }),
        }],
    },
];

const fn batch(path: &'static str, size: u64, sha256: &'static str) -> UnpackedFile {
    UnpackedFile {
        path,
        size,
        sha256: Some(sha256),
    }
}

const fn pickled(path: &'static str, size: u64) -> UnpackedFile {
    UnpackedFile {
        path,
        size,
        sha256: None,
    }
}
