use std::fs::File;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use granule_data::arrays::{ArrayOptions, read_inputs};
use granule_data::idx::decode_images;
use granule_data::{DatasetSpec, Features, Normalization, Shape, Split, Targets};

use crate::memory::peak;
use crate::support::{load_from, real_data, write};

fn class_counts(split: &Split) -> Vec<usize> {
    let Targets::Classes(labels) = split.targets() else {
        panic!("no classes")
    };
    let mut counts = vec![0; 10];
    for &label in labels {
        counts[usize::from(label)] += 1;
    }
    counts
}

fn close<T: Copy + Into<f64>>(found: &[T], expected: &[f64]) {
    let found: Vec<f64> = found.iter().map(|&x| x.into()).collect();
    assert_eq!(found.len(), expected.len());
    assert!(
        found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < 1e-4),
        "{found:?} {expected:?}"
    );
}

#[test]
fn mnist() {
    let Some(dir) = real_data("mnist") else {
        return;
    };
    let set = load_from(&DatasetSpec::Mnist, &dir).unwrap();
    assert!(set.warnings.is_empty(), "{:?}", set.warnings);
    assert_eq!(
        class_counts(&set.train),
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    );
    assert_eq!(
        class_counts(&set.test),
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    );
    let moments = Normalization::of(&set.train);
    close(&moments.mean, &[0.1307]);
    close(&moments.std, &[0.3081]);
    close(&set.normalization.mean, &moments.mean);
}

#[test]
fn unpacked_mnist_is_the_published_one() {
    let Some(root) = real_data("mnist") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root.join("mnist")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = Vec::new();
        let mut decoder = MultiGzDecoder::new(File::open(&path).unwrap());
        if decoder.read_to_end(&mut bytes).is_ok() {
            write(
                dir.path().join("mnist").join(path.file_stem().unwrap()),
                &bytes,
            );
        }
    }
    let plain = load_from(&DatasetSpec::Mnist, dir.path()).unwrap();
    assert!(plain.warnings.is_empty(), "{:?}", plain.warnings);
    assert_eq!(plain, load_from(&DatasetSpec::Mnist, &root).unwrap());
}

#[test]
fn mnist_is_held_once_while_it_is_read() {
    let Some(dir) = real_data("mnist") else {
        return;
    };
    let path = dir.join("mnist/train-images-idx3-ubyte.gz");
    let file = File::open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    let (images, held) = peak(|| decode_images(file, len, &path).unwrap());
    assert_eq!(images.pixels.len(), 47_040_000);
    assert!(held < 47_040_000 * 11 / 10, "{held} bytes were held");
}

#[test]
fn cifar_10() {
    let Some(dir) = real_data("cifar-10") else {
        return;
    };
    let (set, held) = peak(|| load_from(&DatasetSpec::Cifar10, &dir).unwrap());
    assert_eq!(class_counts(&set.train), [5000; 10]);
    assert_eq!(class_counts(&set.test), [1000; 10]);
    assert_eq!(set.classes[9], "truck");
    close(
        &Normalization::of(&set.train).mean,
        &[0.4914, 0.4822, 0.4465],
    );
    close(
        &Normalization::of(&set.train).std,
        &[0.2470, 0.2435, 0.2616],
    );
    assert!(held < 184_320_000 * 11 / 10, "{held} bytes were held");
    // The archive may be a repacked one, which is loaded with a warning.
    assert!(set.warnings.len() <= 1, "{:?}", set.warnings);
}

#[test]
fn recorded_spike_counts() {
    let Some(dir) = real_data("neural-m1-reach") else {
        return;
    };
    let file = |name: &str| dir.join("neural-m1-reach").join(name);
    let spec = |y: &str| DatasetSpec::Arrays {
        x: file("c_train_counts.npy"),
        y: Some(file(y)),
    };
    let set = load_from(&spec("c_train_velocity.npy"), &dir).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (960, 240));
    assert_eq!(set.train.shape(), Shape::Vector { len: 71 });
    let splits = || [&set.train, &set.test].into_iter();
    let counts: f32 = splits()
        .flat_map(|split| (0..split.len()).flat_map(|i| split.values(i).unwrap()))
        .sum();
    assert_eq!(counts, 84974.0);
    // Inputs and targets stay together: the first sample, by its velocity.
    let found = splits().find_map(|split| {
        let here = |&i: &usize| split.target_values(i) == Some(&[0.404_384_94, 0.449_481_82]);
        (0..split.len())
            .find(here)
            .map(|i| split.values(i).unwrap())
    });
    let path = file("c_train_counts.npy");
    let Features::Floats(all) = read_inputs(&path, &ArrayOptions::default())
        .unwrap()
        .features
    else {
        panic!("not floats")
    };
    assert_eq!(found, Some(&all[..71]));

    let set = load_from(&spec("c_train_target.npy"), &dir).unwrap();
    assert_eq!(set.classes, ["0", "1", "2", "3"]);
}
