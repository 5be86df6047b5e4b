//! Class names and normalisation of the published sets.

const FASHION: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

const CIFAR_10: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

const CIFAR_100: [&str; 100] = [
    "apple",
    "aquarium_fish",
    "baby",
    "bear",
    "beaver",
    "bed",
    "bee",
    "beetle",
    "bicycle",
    "bottle",
    "bowl",
    "boy",
    "bridge",
    "bus",
    "butterfly",
    "camel",
    "can",
    "castle",
    "caterpillar",
    "cattle",
    "chair",
    "chimpanzee",
    "clock",
    "cloud",
    "cockroach",
    "couch",
    "crab",
    "crocodile",
    "cup",
    "dinosaur",
    "dolphin",
    "elephant",
    "flatfish",
    "forest",
    "fox",
    "girl",
    "hamster",
    "house",
    "kangaroo",
    "keyboard",
    "lamp",
    "lawn_mower",
    "leopard",
    "lion",
    "lizard",
    "lobster",
    "man",
    "maple_tree",
    "motorcycle",
    "mountain",
    "mouse",
    "mushroom",
    "oak_tree",
    "orange",
    "orchid",
    "otter",
    "palm_tree",
    "pear",
    "pickup_truck",
    "pine_tree",
    "plain",
    "plate",
    "poppy",
    "porcupine",
    "possum",
    "rabbit",
    "raccoon",
    "ray",
    "road",
    "rocket",
    "rose",
    "sea",
    "seal",
    "shark",
    "shrew",
    "skunk",
    "skyscraper",
    "snail",
    "snake",
    "spider",
    "squirrel",
    "streetcar",
    "sunflower",
    "sweet_pepper",
    "table",
    "tank",
    "telephone",
    "television",
    "tiger",
    "tractor",
    "train",
    "trout",
    "tulip",
    "turtle",
    "wardrobe",
    "whale",
    "willow_tree",
    "wolf",
    "woman",
    "worm",
];

/// The published class names, in the order of the labels.
pub(crate) fn classes(name: &str) -> Vec<String> {
    let names: &[&str] = match name {
        "fashion-mnist" => &FASHION,
        "cifar-10" => &CIFAR_10,
        "cifar-100" => &CIFAR_100,
        _ => return (0..10).map(|digit| digit.to_string()).collect(),
    };
    names.iter().map(ToString::to_string).collect()
}

/// Mean and standard deviation per channel of the training pixels in [0, 1], as they are commonly rounded.
pub(crate) fn pixels(name: &str) -> (Vec<f64>, Vec<f32>) {
    match name {
        "mnist" => (vec![0.1307], vec![0.3081]),
        "fashion-mnist" => (vec![0.2860], vec![0.3530]),
        "cifar-10" => (vec![0.4914, 0.4822, 0.4465], vec![0.2470, 0.2435, 0.2616]),
        "cifar-100" => (vec![0.5071, 0.4866, 0.4409], vec![0.2673, 0.2564, 0.2762]),
        _ => (Vec::new(), Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_names_are_distinct() {
        for (name, count) in [
            ("mnist", 10),
            ("fashion-mnist", 10),
            ("cifar-10", 10),
            ("cifar-100", 100),
        ] {
            let names = classes(name);
            let distinct: std::collections::BTreeSet<_> = names.iter().collect();
            assert_eq!((names.len(), distinct.len()), (count, count), "{name}");
        }
    }
}
